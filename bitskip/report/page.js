"use strict";
// 4 bitnet-v2 "seed 1": words are found anywhere, what stands in quotes as whole words.
const whole = (phrase) => new RegExp(`(?<![\\w.-])${phrase.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}(?![\\w-]|\\.\\d)`);
const terms = (text) => [...text.toLowerCase().matchAll(/"([^"]+)"|[^\s"]+/g)].map(([word, phrase]) => phrase
  ? { test: (found) => whole(phrase).test(found), seed: /^seed \d+$/.test(phrase) }
  : { test: (found) => found.includes(word), seed: false });
// A mean over seeds is of every seed.
const has = (found, wanted) => wanted.every((term) => term.test(found) || (term.seed && !/\bseed \d/.test(found)));

const theme = document.querySelector("button.theme");
const dark = () => document.documentElement.dataset.theme
  ? document.documentElement.dataset.theme === "dark"
  : matchMedia("(prefers-color-scheme: dark)").matches;
const label = () => { theme.textContent = dark() ? "Light" : "Dark"; theme.setAttribute("aria-pressed", String(dark())); };
theme.addEventListener("click", () => { document.documentElement.dataset.theme = dark() ? "light" : "dark"; label(); });
label();

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.querySelectorAll("thead th")];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    heads.forEach((each) => each.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const value = (row) => row.cells[column].dataset.sort ?? row.cells[column].textContent;
    const body = table.tBodies[0];
    const order = (a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === "" || y === "") return (x === "") - (y === "");
      const by = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
      return up ? by : -by;
    };
    body.append(...[...body.rows].sort(order));
  }));
}

// A verdict in a table is told what it means by the table of words.
const meanings = new Map([...document.querySelectorAll("#glossary tbody tr")].map(({ cells }) => [...cells].map((cell) => cell.textContent)));
for (const cell of document.querySelectorAll("main td:not(.n)")) {
  const means = meanings.get(cell.textContent.split(/,| \*/)[0]);
  if (means) cell.title = means;
}

// What is shown is the address after '#': scale=2&metric=bpb&open=scale-2-effects,trials&q=4+bitnet-v2
const at = (id) => document.getElementById(id);
const [bar, scale, metric, filter] = ["bar", "scale", "metric", "filter"].map(at);
const parts = [...document.querySelectorAll("details.part")];
const opened = () => parts.filter((part) => part.open);
bar.hidden = !parts.length;
bar.addEventListener("submit", (event) => event.preventDefault());

// A row is found by its columns, too: seed 1.
const rows = [...document.querySelectorAll("table.sortable")].flatMap((table) => {
  const heads = [...table.tHead.rows[0].cells].map((head) => head.textContent.trim());
  return [...table.tBodies[0].rows].map((row) => ({
    row, trial: table.id === "trials-table",
    text: [...row.cells].map((cell, at) => `${heads[at]} ${cell.textContent}`).join("; ").toLowerCase(),
  }));
});
// A mark of a named variant is one of its techniques.
const variants = new Map(Object.entries(JSON.parse(at("pick").dataset.variants)));
const marks = [...document.querySelectorAll(".tip")].map((mark) => {
  const told = mark.querySelector("title").textContent;
  return { mark, told, text: `${told}; ${variants.get(told.split(/[,:] /)[0]) ?? ""}`.toLowerCase() };
});

// Techniques and seeds of the figures' marks, to highlight by one press; a mark picked is those of its own.
const partsOf = (told) => {
  const [, label, seed] = told.match(/^(.*?)(?:, (seed \d+))?(?:[,:] |$)/);
  return [...label.split(/ \+ | [x×] /), seed].filter(Boolean).map((part) => `"${part}"`);
};
const order = (a, b) => a.includes("seed") - b.includes("seed") || a.localeCompare(b, "en", { numeric: true });
const chips = [...new Set(marks.flatMap(({ told }) => partsOf(told)))].sort(order).map((term) => {
  const chip = Object.assign(document.createElement("button"), { type: "button", textContent: term.slice(1, -1) });
  chip.dataset.term = term;
  chip.addEventListener("click", () => seek(filter.value.includes(term)
    ? filter.value.replace(term, "") : `${filter.value} ${term}`));
  return chip;
});
at("chips").append(...chips);
at("pick").hidden = !chips.length;
const seek = (text) => { filter.value = text.replace(/\s+/g, " ").trim(); show(); remember(); };

const show = () => {
  const wanted = { scale: scale?.value ?? "all", metric: metric?.value ?? "all" };
  for (const each of document.querySelectorAll("main > [data-scale]")) {
    each.hidden = Object.entries(wanted).some(([key, value]) => value !== "all" && (each.dataset[key] ?? value) !== value);
  }
  const sought = terms(filter.value);
  for (const { mark, text } of marks) mark.classList.toggle("dim", !has(text, sought));
  for (const { row, text } of rows) row.classList.toggle("away", !has(text, sought));
  for (const chip of chips) chip.setAttribute("aria-pressed", String(filter.value.includes(chip.dataset.term)));
  const trials = rows.filter((each) => each.trial);
  at("count").textContent = `${trials.filter(({ row }) => !row.classList.contains("away")).length} of ${trials.length} trials`;
};

const remember = () => {
  const state = new URLSearchParams();
  if (scale && scale.selectedIndex) state.set("scale", scale.value);
  if (metric && metric.selectedIndex) state.set("metric", metric.value);
  if (filter.value) state.set("q", filter.value);
  if (opened().length) state.set("open", opened().map((part) => part.id).join(","));
  history.replaceState(null, "", `#${state}`);
};

const choose = (control, value) => {
  if (control && [...control.options].some((option) => option.value === value)) control.value = value;
};

const recall = () => {
  const address = location.hash.slice(1);
  if (address && !address.includes("=")) {
    const target = at(address);
    const part = target?.closest("[data-scale], details.part");
    choose(scale, part?.dataset.scale);
    choose(metric, part?.dataset.metric);
    show();
    const closed = target?.closest("details.part");
    if (closed) closed.open = true;
    target?.scrollIntoView();
    return;
  }
  const state = new URLSearchParams(address);
  choose(scale, state.get("scale"));
  choose(metric, state.get("metric"));
  filter.value = state.get("q") ?? filter.value;
  const open = (state.get("open") ?? "").split(",");
  parts.forEach((part) => { part.open = open.includes(part.id); });
  show();
};

for (const control of [scale, metric, filter]) control?.addEventListener("input", () => { show(); remember(); });
parts.forEach((part) => part.addEventListener("toggle", remember));
at("open").addEventListener("click", ({ target }) => {
  const open = target.getAttribute("aria-pressed") !== "true";
  parts.forEach((part) => { part.open = open; });
  target.setAttribute("aria-pressed", String(open));
  target.textContent = open ? "Close all" : "Open all";
});
addEventListener("beforeprint", () => parts.forEach((part) => { part.open = true; }));
addEventListener("hashchange", recall);
recall();

// The box of a mark: where the pointer is, or where the keyboard stands.
const box = document.body.appendChild(Object.assign(document.createElement("div"), { id: "tip", hidden: true }));
box.setAttribute("role", "status");
const known = new Map(marks.map((each) => [each.mark, each]));
let here = null;
const leave = () => { here?.classList.remove("at"); here = null; box.hidden = true; };
const point = (mark, x, y) => {
  if (mark !== here) {
    leave();
    here = mark;
    mark.classList.add("at");
    mark.querySelector("title")?.remove(); // the browser would tell it a second time
    box.textContent = known.get(mark).told;
  }
  box.hidden = false;
  const { offsetWidth: width, offsetHeight: height } = box;
  box.style.left = `${Math.max(4, Math.min(x + 12, innerWidth - width - 4))}px`;
  box.style.top = `${y + 16 + height > innerHeight ? Math.max(4, y - height - 8) : y + 16}px`;
};
const pick = (mark) => {
  const text = partsOf(known.get(mark).told).join(" ");
  seek(filter.value === text ? "" : text);
};
for (const kind of ["pointermove", "pointerdown"]) document.addEventListener(kind, (event) => { // what scrolls by is not pointed at
  const mark = event.target.closest?.(".tip");
  if (mark) point(mark, event.clientX, event.clientY); else leave();
});
for (const region of document.querySelectorAll("figure .scroll, figure.picture")) {
  const own = [...region.querySelectorAll(".tip")];
  if (!own.length) continue;
  region.tabIndex = 0;
  region.addEventListener("click", (event) => { const mark = event.target.closest(".tip"); if (mark) pick(mark); });
  region.addEventListener("blur", leave);
  region.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const lit = own.filter((mark) => !mark.classList.contains("dim"));
    if (step && lit.length) {
      const next = lit[(lit.indexOf(here) + step + lit.length + (step < 0 && !lit.includes(here))) % lit.length];
      next.scrollIntoView({ block: "nearest", inline: "nearest" });
      const { right, bottom } = next.getBoundingClientRect();
      point(next, right, bottom);
    } else if ((event.key === "Enter" || event.key === " ") && here) pick(here);
    else if (event.key === "Escape") { leave(); seek(""); }
    else return;
    event.preventDefault();
  });
}
