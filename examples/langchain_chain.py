"""docrag in LangChain: a chain that shows pages, text and image, to a chat model; and docrag's own answers as a runnable.

Before: `make demo`. Run it as `.venv/bin/python examples/langchain_chain.py`. The chat model is scripted, so that this runs
without a key; `init_chat_model("openai:gpt-4o")` or any other model that sees goes in its place.
"""

from typing import Any

from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableLambda, RunnablePassthrough

import docrag
from docrag.langchain import PageRetriever, answer_runnable, as_content_blocks

QUESTION = "Where did Nettlefoss open its new foundry in 2025?"


def prompt(given: dict[str, Any]) -> list[BaseMessage]:
    pages = as_content_blocks(given["pages"])
    print("sent:", [block["type"] for block in pages])
    question = HumanMessage(content_blocks=[*pages, {"type": "text", "text": given["question"]}])
    return [SystemMessage("Answer from the pages alone, and name the page."), question]


with docrag.open("demo-out/library") as library:
    retriever = PageRetriever(library=library, k=2, images=True)
    for page in retriever.invoke(QUESTION):
        print(page.metadata["document"], page.metadata["page_number"], page.metadata["image"]["mime_type"])

    model = FakeListChatModel(responses=["At Marrowby (page 5)."])
    chain = {"pages": retriever, "question": RunnablePassthrough()} | RunnableLambda(prompt) | model | StrOutputParser()
    print("scripted model:", chain.invoke(QUESTION))

    answer = answer_runnable(library).invoke(QUESTION)
    print("docrag:", answer.text, [(citation.page_number, citation.verified) for citation in answer.citations])
