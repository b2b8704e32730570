"use strict";
// The browser of single questions. What comes from questions, answers and documents is only ever set as text.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const PAGE_SIZE = 25;
  const EARLY = 5;
  const find = (id) => document.getElementById(id);
  let pictures = null;

  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === true) element.setAttribute(name, "");
      else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, String(value));
    }
    element.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
    return element;
  }

  // --- what a row is ---------------------------------------------------------------------------------------------------
  const isRight = (said) => Boolean(said) && said.score > 0;
  const isRefused = (said) => Boolean(said) && said.outcome === "not_answerable";
  const isFailed = (said) => Boolean(said) && said.outcome === "failed";
  const isWrong = (said) => Boolean(said) && !isFailed(said) && said.score === 0;
  const hasMissed = (said) => Boolean(said) && said.missed.length > 0;

  function verdict(row, place) {
    const said = row.runs[place];
    if (!said) return [row.absent.includes(place) ? "not in this run" : "not asked yet", ""];
    if (isFailed(said)) return ["failed", "failed"];
    if (said.score === null) return ["not answered", ""];
    if (isRight(said)) return [isRefused(said) ? "rightly refused" : said.score < 1 ? "right in part" : "right", "right"];
    return [isRefused(said) ? "wrongly refused" : "wrong", "wrong"];
  }

  const score = (value) => (value === null || value === undefined ? "–" : value.toFixed(2));
  const scores = (row) => row.runs.map((said) => (said && said.score) || 0);
  const change = (row) => Math.max(...scores(row).map((value) => Math.abs(value - scores(row)[0])));
  const isChanged = (row) => row.runs.some((said) => ((said && said.prediction) ?? null) !== ((row.runs[0] && row.runs[0].prediction) ?? null)) || change(row) > 0;
  const haystack = (row) =>
    [row.id, row.question, row.answer, row.document, ...row.runs.flatMap((said) => (said ? [said.prediction, said.why] : []))]
      .join("\n")
      .toLowerCase();
  data.rows.forEach((row, place) => { row.place = place; row.text = haystack(row); });

  // --- filters ---------------------------------------------------------------------------------------------------------
  const judged = () => (controls.run ? Number(controls.run.value) : 0);
  const said = (row) => row.runs[judged()];
  const isAbsent = (row) => row.absent.includes(judged());
  const numeric = new Intl.Collator("en", { numeric: true }).compare;
  const distinct = (values) => [...new Set(values)].sort(numeric).map((value) => [value, value]);
  const selects = {
    result: ["Result", [["right", "right"], ["wrong", "wrong"], ["refused", "refused"], ["failed", "failed"], ["unasked", "not asked yet"], ["absent", "not in this run"]],
      (row, value) => ({ right: isRight, wrong: isWrong, refused: isRefused, failed: isFailed,
        unasked: (one) => !one && !isAbsent(row), absent: () => isAbsent(row) })[value](said(row))],
    answerable: ["Answerable", [["yes", "answerable"], ["no", "unanswerable"]], (row, value) => row.answerable === (value === "yes")],
    needed: ["Evidence pages needed", distinct(data.rows.map((row) => row.needed)), (row, value) => row.needed === value],
    source: [data.titles.source, distinct(data.rows.flatMap((row) => row.sources)), (row, value) => row.sources.includes(value)],
    type: [data.titles.doc_type, distinct(data.rows.map((row) => row.type)), (row, value) => row.type === value],
    document: ["Document", distinct(data.rows.map((row) => row.document)), (row, value) => row.document === value],
  };
  const checks = {
    missed: [`Evidence missed at ${EARLY}`, (row) => hasMissed(said(row))],
  };
  if (data.runs.length > 1) checks.changed = ["Changed between runs", isChanged];
  const orders = {
    data: ["as in the data", (a, b) => a.place - b.place],
    low: ["lowest score first", (a, b) => ((said(a) || {}).score || 0) - ((said(b) || {}).score || 0)],
    high: ["highest score first", (a, b) => ((said(b) || {}).score || 0) - ((said(a) || {}).score || 0)],
    sure: ["most confident first", (a, b) => ((said(b) || {}).confidence || 0) - ((said(a) || {}).confidence || 0)],
    slow: ["slowest first", (a, b) => ((said(b) || {}).milliseconds || 0) - ((said(a) || {}).milliseconds || 0)],
    document: ["by document", (a, b) => (a.document < b.document ? -1 : a.document > b.document ? 1 : 0)],
  };
  if (data.runs.length > 1) orders.change = ["largest change first", (a, b) => change(b) - change(a)];

  const controls = {};
  let page = 0;

  function choice(name, label, options) {
    controls[name] = make("select", { name }, ...options.map(([value, text]) => make("option", { value }, text)));
    return make("label", {}, label, controls[name]);
  }

  function buildFilters() {
    const form = find("filters");
    controls.text = make("input", { type: "search", name: "text", placeholder: "words in question, answers, document" });
    form.append(make("label", { class: "wide" }, "Search", controls.text));
    if (data.runs.length > 1) form.append(choice("run", "Judged by", data.runs.map((name, place) => [place, name])));
    for (const [name, [label, options]] of Object.entries(selects)) {
      if (options.length > 1) form.append(choice(name, label, [["", "all"], ...options]));
    }
    form.append(choice("order", "Order", Object.entries(orders).map(([value, [text]]) => [value, text])));
    for (const [name, [label]] of Object.entries(checks)) {
      controls[name] = make("input", { type: "checkbox", name });
      form.append(make("label", { class: "check" }, controls[name], make("span", {}, label)));
    }
    const clear = make("button", { type: "button" }, "Clear");
    clear.addEventListener("click", () => { form.reset(); refresh(); });
    form.append(clear);
    form.addEventListener("input", () => refresh());
    form.addEventListener("submit", (event) => event.preventDefault());
    form.hidden = false;
  }

  function active() {
    const words = controls.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    const tests = { text: (row) => words.every((word) => row.text.includes(word)) };
    for (const [name, [, , matches]] of Object.entries(selects)) {
      const value = controls[name] ? controls[name].value : "";
      tests[name] = value ? (row) => matches(row, value) : () => true;
    }
    for (const [name, [, matches]] of Object.entries(checks)) tests[name] = controls[name].checked ? matches : () => true;
    return tests;
  }

  const passing = (tests, except) =>
    data.rows.filter((row) => Object.entries(tests).every(([name, test]) => name === except || test(row)));

  function chosen() {
    return passing(active(), null).sort((a, b) => orders[controls.order.value][1](a, b) || a.place - b.place);
  }

  // How many questions each choice would leave, given all the other filters.
  function countOptions() {
    const tests = active();
    for (const [name, [, options, matches]] of Object.entries(selects)) {
      if (!controls[name]) continue;
      const others = passing(tests, name);
      const texts = new Map(options);
      for (const option of controls[name].options) {
        const count = option.value ? others.filter((row) => matches(row, option.value)).length : others.length;
        option.textContent = `${option.value ? texts.get(option.value) : "all"} (${count})`;
      }
    }
    for (const [name, [label, matches]] of Object.entries(checks)) {
      controls[name].nextSibling.textContent = `${label} (${passing(tests, name).filter(matches).length})`;
    }
  }

  // --- one question ----------------------------------------------------------------------------------------------------
  function chip(row, place) {
    const [text, kind] = verdict(row, place);
    const name = data.runs.length > 1 ? `${data.runs[place]}: ` : "";
    return make("span", { class: `chip ${kind}` }, name + text);
  }

  function answers(row) {
    const lines = make("span", { class: "said" }, make("span", {}, "expected "), row.answer);
    row.runs.forEach((one, place) => {
      const name = data.runs.length > 1 ? data.runs[place] : "given";
      lines.append(make("span", {}, `  ·  ${name} `), one ? one.prediction ?? "–" : "–");
    });
    return lines;
  }

  function listItem(row) {
    const button = make("button", { class: "ask", type: "button", "aria-expanded": "false" },
      make("span", { class: "q" }, row.question),
      make("span", { class: "chips" }, ...row.runs.map((_, place) => chip(row, place))),
      make("span", { class: "meta" }, [row.document || "the whole library", row.type].filter(Boolean).join(" · ")),
      answers(row));
    const item = make("li", { id: `q-${row.id}` }, button);
    button.addEventListener("click", () => { if (item.classList.contains("open")) close(item); else open(item, row); });
    return item;
  }

  function close(item) {
    item.classList.remove("open");
    item.querySelector(".ask").setAttribute("aria-expanded", "false");
    item.querySelector(".inside").remove();
  }

  function open(item, row) {
    item.classList.add("open");
    item.querySelector(".ask").setAttribute("aria-expanded", "true");
    item.append(inside(row));
  }

  function facts(pairs, kind = "") {
    const list = make("dl", { class: `facts ${kind}` });
    for (const [name, value] of pairs) {
      if (value !== null && value !== undefined && value !== "") list.append(make("dt", {}, name), make("dd", {}, value));
    }
    return list;
  }

  const aboutQuestion = (row) => [
    ["Expected", `${row.answer}  (${row.format})`],
    ["Evidence", row.pages.length ? `page ${row.pages.join(", ")}` : row.answerable ? "no page of the document is named" : "none: this can't be answered"],
    [data.titles.source, row.sources.join(", ")],
  ];

  const aboutAnswer = (one) => [
    ["Given", one.prediction],
    [isFailed(one) ? "Failed because" : isRefused(one) ? "Refused because" : "Note", one.why],
    ["Official score", score(one.score)],
    ["Strict score", one.strict_outcome === "scored" ? score(one.strict) : one.strict_outcome],
    ["Confidence", one.prediction === null ? "" : one.confidence.toFixed(2)],
    ["Pages read", one.read.map((number, place) => (one.read_of.length ? `${number} of ${one.read_of[place]}` : number)).join(", ")],
    ["Time", `${Math.round(one.milliseconds).toLocaleString("en")} ms`],
  ];

  function inside(row) {
    const link = make("p", { class: "soft" }, make("a", { href: `#q-${row.id}` }, "Link to this question"));
    if (row.runs.length === 1 && row.runs[0]) {
      const all = facts([...aboutQuestion(row), ...aboutAnswer(row.runs[0])], "two");
      return make("div", { class: "inside" }, all, ...shown(row, row.runs[0]), link);
    }
    const sides = row.runs.map((one, place) => make("div", {}, make("h4", {}, data.runs[place]), ...(one
      ? [facts(aboutAnswer(one)), ...shown(row, one)]
      : [make("p", { class: "soft" }, `This question is ${verdict(row, place)[0]}.`)])));
    return make("div", { class: "inside" }, facts(aboutQuestion(row)), make("div", { class: "sides" }, ...sides), link);
  }

  function shown(row, one) {
    const wrote = one.response
      ? make("details", {}, make("summary", {}, "What the model wrote"), make("pre", {}, one.response))
      : null;
    const proof = [evidenceStrip(row, one), citedStrip(row, one)].filter(Boolean);
    return [make("div", { class: "sides" }, ...proof), rankedStrip(row, one), wrote].filter(Boolean);
  }

  function strip(title, figures, kind = "") {
    return figures.length ? make("div", {}, make("h4", {}, title), make("div", { class: `strip ${kind}` }, ...figures)) : null;
  }

  function evidenceStrip(row, one) {
    return strip("Pages that hold the evidence", row.pages.map((number, place) => {
      const wasRead = one.read.includes(number) ? ", read" : "";
      const rank = one.places[place];
      if (rank === undefined) return picture(row.document, number, `page ${number}${wasRead}`); // nothing was searched
      const found = rank > 0 && rank <= EARLY;
      const told = found ? `found, rank ${rank}` : rank ? `missed: rank ${rank}` : "missed: not in the ranking";
      return picture(row.document, number, `page ${number}: ${told}${wasRead}`, found ? "hit" : "miss");
    }));
  }

  function citedStrip(row, one) {
    return strip("Cited", one.cited.map((cite) => {
      const label = cite.label && cite.label !== String(cite.page) ? ` (printed ${cite.label})` : "";
      const caption = `page ${cite.page}${label}${cite.verified ? "" : ", these words were not found there"}`;
      const shown = picture(cite.document, cite.page, caption, "", cite.box);
      if (cite.quote) shown.append(make("blockquote", {}, "“", make("mark", {}, cite.quote), "”"));
      return shown;
    }), "cites");
  }

  function rankedStrip(row, one) {
    const isEvidence = ([name, number]) => name === row.document && row.pages.includes(number);
    const name = (doc) => (doc === row.document ? "" : ` of ${doc}`);
    const part = strip("Found by the search, best first", one.ranked.slice(0, data.drawn).map(([doc, number], place) =>
      picture(doc, number, `${place + 1}. page ${number}${name(doc)}${isEvidence([doc, number]) ? ", evidence" : ""}`,
        isEvidence([doc, number]) ? "hit" : "")));
    const rest = one.ranked.slice(data.drawn).map(([doc, number]) => `${number}${name(doc)}${isEvidence([doc, number]) ? " (evidence)" : ""}`);
    if (part && rest.length) part.append(make("p", { class: "soft" }, `then page ${rest.join(", ")}`));
    return part;
  }

  const SVG = "http://www.w3.org/2000/svg";

  function boxes(width, height, box) {
    const [x0, y0, x1, y1] = box;
    const drawing = document.createElementNS(SVG, "svg");
    const mark = document.createElementNS(SVG, "rect");
    const set = (element, values) => Object.entries(values).forEach(([name, value]) => element.setAttribute(name, String(value)));
    set(drawing, { class: "boxes", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    set(mark, { x: Math.max(0, x0 - 2), y: Math.max(0, y0 - 2), width: Math.max(0, x1 - x0 + 4), height: Math.max(0, y1 - y0 + 4) });
    drawing.append(mark);
    return drawing;
  }

  function picture(doc, number, caption, kind = "", box = null) {
    pictures ??= JSON.parse(find("pictures").textContent);
    const drawn = (pictures.drawn[doc] || {})[number];
    if (!drawn) {
      const why = pictures.note ? "" : (pictures.missing[doc] || {})[number] || "not drawn";
      const blank = make("div", { class: `page blank ${kind}` }, `page ${number}`, why && make("br"), why);
      return make("figure", {}, blank, make("figcaption", {}, caption));
    }
    const [width, height, webp] = drawn;
    const image = make("img", { src: `data:image/webp;base64,${webp}`, alt: caption });
    const shown = make("div", { class: `page ${kind}` }, image, box ? boxes(width, height, box) : null);
    return make("figure", {}, shown, make("figcaption", {}, caption));
  }

  // --- the list --------------------------------------------------------------------------------------------------------
  function show() {
    const rows = chosen();
    const pages = Math.max(1, Math.ceil(rows.length / PAGE_SIZE));
    page = Math.min(Math.max(0, page), pages - 1);
    const first = page * PAGE_SIZE;
    const visible = rows.slice(first, first + PAGE_SIZE);
    find("rows").replaceChildren(...visible.map(listItem));
    const told = rows.length ? `${first + 1} to ${first + visible.length} of ` : "";
    find("shown").textContent = `${told}${rows.length.toLocaleString("en")} questions${rows.length < data.rows.length ? `, of ${data.rows.length.toLocaleString("en")} in all` : ""}`;
    find("paging").hidden = pages === 1;
    find("place").textContent = `page ${page + 1} of ${pages}`;
    find("before").disabled = page === 0;
    find("after").disabled = page === pages - 1;
    return visible;
  }

  function refresh() {
    page = 0;
    countOptions();
    show();
  }

  function turn(by) {
    page += by;
    show();
    find("questions").scrollIntoView();
  }

  function asked() {
    try { return decodeURIComponent(location.hash); } catch { return ""; } // anybody may write a lone % behind the address
  }

  function follow() {
    const hash = asked();
    const row = data.rows.find((one) => hash === `#q-${one.id}`);
    if (!row) return;
    if (!chosen().includes(row)) { find("filters").reset(); countOptions(); }
    page = Math.floor(chosen().indexOf(row) / PAGE_SIZE);
    show();
    const item = find(`q-${row.id}`);
    open(item, row);
    item.scrollIntoView();
  }

  // --- light and dark --------------------------------------------------------------------------------------------------
  function buildTheme() {
    const root = document.documentElement;
    const button = find("theme");
    const system = matchMedia("(prefers-color-scheme: dark)");
    const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
    const name = () => { button.textContent = isDark() ? "Light" : "Dark"; };
    button.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; name(); });
    system.addEventListener("change", name);
    button.hidden = false;
    name();
  }

  // Paper can't be opened: tables that are folded up on the screen are printed.
  function unfoldForPrint() {
    let folded = [];
    addEventListener("beforeprint", () => {
      folded = [...document.querySelectorAll("section:not(#questions, #config) details:not([open])")];
      folded.forEach((one) => { one.open = true; });
    });
    addEventListener("afterprint", () => { folded.forEach((one) => { one.open = false; }); });
  }

  buildTheme();
  unfoldForPrint();
  buildFilters();
  find("before").addEventListener("click", () => turn(-1));
  find("after").addEventListener("click", () => turn(1));
  addEventListener("hashchange", follow);
  refresh();
  follow();
})();
