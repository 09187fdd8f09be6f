"use strict";
// 4 "seed 1"|"seed 2": every term must hold, one of its alternatives is enough. Words are found anywhere; what stands in
// quotes is found as whole words, each part of "bits 4 + hadamard bitnet-v2" for itself.
const whole = (phrase) => new RegExp(`(?<![\\w.-])${phrase.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}(?![\\w-]|\\.\\d)`);
const groupsOf = (text) => (text.match(/(?:"[^"]*"?|[^\s"])+/g) ?? []).map((term) => term.match(/"[^"]*"?|[^"|]+/g) ?? []);
const KINDS = { seed: /\bseed \d/, size: /\bsize \d/ };
const kindOf = (alternative) => alternative.match(/^"(seed|size) \d/)?.[1];
const terms = (text) => groupsOf(text.toLowerCase()).filter((group) => group.length).map((group) => {
  const tests = group.map((alternative) => {
    if (!alternative.startsWith('"')) return (found) => found.includes(alternative);
    const parts = alternative.replaceAll('"', "").split(" + ").map(whole);
    return (found) => parts.every((part) => part.test(found));
  });
  return { test: (found) => tests.some((test) => test(found)), kind: KINDS[kindOf(group[0])] };
});
// A mean over seeds is of every seed, what has no size is of every size.
const has = (found, wanted) => wanted.every((term) => term.test(found) || (term.kind && !term.kind.test(found)));

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

// Of a scale, the size that all its marks and rows have.
const pickData = at("pick").dataset;
const sizes = JSON.parse(pickData.sizes);
const sizeOf = (element) => sizes[element.closest("[data-scale]")?.dataset.scale];
const sized = (element, text) => (sizeOf(element) && !KINDS.size.test(text) ? `${text}; size ${sizeOf(element)}` : text);
// A row is found by its columns, too: seed 1.
const rows = [...document.querySelectorAll("table.sortable")].flatMap((table) => {
  const heads = [...table.tHead.rows[0].cells].map((head) => head.textContent.trim());
  return [...table.tBodies[0].rows].map((row) => ({
    row, trial: table.id === "trials-table",
    text: sized(table, [...row.cells].map((cell, at) => `${heads[at]} ${cell.textContent}`).join("; ")).toLowerCase(),
  }));
});
// A mark of a named variant is one of its techniques.
const variants = new Map(Object.entries(JSON.parse(pickData.variants)));
const marks = [...document.querySelectorAll(".tip")].map((mark) => {
  const told = mark.querySelector("title").textContent;
  return { mark, told, text: sized(mark, `${told}; ${variants.get(told.split(/[,:] /)[0]) ?? ""}`).toLowerCase() };
});

const known = new Map(marks.map((each) => [each.mark, each]));
// What a mark is of, as alternatives of a term each: its techniques together, its seed, its size.
const SEPARATOR = / \+ | [x×] /;
const factsOf = (told) => {
  const head = told.split(": ")[0];
  const [seed, size] = [/, (seed \d+)/, /, (size [^,]+)/].map((kind) => head.match(kind)?.[1]);
  const techniques = head.split(", ")[0].split(SEPARATOR).join(" + ");
  return { techniques, seed, size };
};
const quoted = (text) => `"${text}"`;
const partsOf = (told) => {
  const { techniques, seed, size } = factsOf(told);
  return [...techniques.split(" + "), size, seed].filter(Boolean).map(quoted);
};
const seek = (text) => { filter.value = text.replace(/\s+/g, " ").trim(); show(); remember(); };
const textOf = (groups) => groups.filter((group) => group.length).map((group) => group.join("|")).join(" ");
// Seeds and sizes are alternatives of each other, techniques are sought together.
const toggle = (term) => {
  const groups = groupsOf(filter.value);
  const rest = groups.map((group) => group.filter((each) => each !== term));
  if (!groups.flat().includes(term)) {
    const kind = kindOf(term);
    const alike = kind && rest.find((group) => group.every((each) => kindOf(each) === kind));
    if (alike) alike.push(term); else rest.push([term]);
  }
  seek(textOf(rest));
};
const rank = (term) => ["seed", "size"].indexOf(kindOf(term));
const order = (a, b) => rank(a) - rank(b) || a.localeCompare(b, "en", { numeric: true });
const several = Object.values(sizes).filter(Boolean).map((size) => quoted(`size ${size}`));
const every = new Set([...marks.flatMap(({ told }) => partsOf(told)), ...(new Set(several).size > 1 ? several : [])]);
const chips = [...every].sort(order).map((term) => {
  const chip = Object.assign(document.createElement("button"), { type: "button", textContent: term.slice(1, -1) });
  chip.dataset.term = term;
  chip.addEventListener("click", () => toggle(term));
  return chip;
});
at("chips").append(...chips);
at("pick").hidden = !chips.length;
// Several marks of a figure: by technique, seed and size, each only where some of the figure's are left out.
const brush = (chosen, own) => {
  const facts = (found) => found.map((mark) => factsOf(known.get(mark).told));
  const groups = ["techniques", "size", "seed"].map((name) => {
    const [some, all] = [chosen, own].map((found) => [...new Set(facts(found).map((each) => each[name]).filter(Boolean))]);
    return some.length < all.length ? some.map(quoted) : [];
  });
  seek(textOf(groups));
};

const show = () => {
  const wanted = { scale: scale?.value ?? "all", metric: metric?.value ?? "all" };
  for (const each of document.querySelectorAll("main > [data-scale]")) {
    each.hidden = Object.entries(wanted).some(([key, value]) => value !== "all" && (each.dataset[key] ?? value) !== value);
  }
  const sought = terms(filter.value);
  for (const { mark, text } of marks) mark.classList.toggle("dim", !has(text, sought));
  for (const { row, text } of rows) row.classList.toggle("away", !has(text, sought));
  for (const chip of chips) chip.setAttribute("aria-pressed", String(groupsOf(filter.value).flat().includes(chip.dataset.term)));
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
  if (mark && drawn.hidden) point(mark, event.clientX, event.clientY); else leave();
});

// A box drawn over marks; a finger scrolls instead.
const FURTHER = 6;
const drawn = document.body.appendChild(Object.assign(document.createElement("div"), { id: "brush", hidden: true }));
let [from, dragged] = [null, false];
const inside = (mark, { left, right, top, bottom }) => {
  const holds = (x, y) => x >= left && x <= right && y >= top && y <= bottom;
  const own = mark.getBoundingClientRect();
  if (mark.querySelector("text")) return own.left <= right && own.right >= left && own.top <= bottom && own.bottom >= top; // a row
  const line = mark.querySelector("path");
  if (line && getComputedStyle(line).fill === "none") { // any of its points
    const [matrix, length] = [line.getScreenCTM(), line.getTotalLength()];
    return Array.from({ length: 65 }, (_, at) => line.getPointAtLength(length * at / 64).matrixTransform(matrix))
      .some(({ x, y }) => holds(x, y));
  }
  return holds((own.left + own.right) / 2, (own.top + own.bottom) / 2);
};
const release = () => { from = null; drawn.hidden = true; document.body.classList.remove("brushing"); };
const stretch = ({ clientX: x, clientY: y }) => {
  if (!from || (drawn.hidden && Math.hypot(x - from.x, y - from.y) < FURTHER)) return;
  leave();
  [drawn.hidden, dragged] = [false, true];
  document.body.classList.add("brushing");
  const [left, top] = [Math.min(x, from.x), Math.min(y, from.y)];
  Object.assign(drawn.style, { left: `${left}px`, top: `${top}px`, width: `${Math.abs(x - from.x)}px`, height: `${Math.abs(y - from.y)}px` });
};
document.addEventListener("pointermove", stretch);
document.addEventListener("pointerup", () => {
  if (!drawn.hidden) brush(from.own.filter((mark) => inside(mark, drawn.getBoundingClientRect())), from.own);
  release();
});
document.addEventListener("pointercancel", release);
document.addEventListener("keydown", (event) => { if (event.key === "Escape") release(); });

for (const region of document.querySelectorAll("figure > .scroll, figure.picture > svg")) {
  const own = [...region.querySelectorAll(".tip")];
  if (!own.length) continue;
  let first = null; // of those that Shift and arrows choose
  region.tabIndex = 0;
  region.addEventListener("pointerdown", (event) => {
    dragged = false;
    if (event.button === 0 && event.pointerType !== "touch" && event.target.closest("svg")) from = { own, x: event.clientX, y: event.clientY };
  });
  region.addEventListener("click", (event) => { const mark = event.target.closest(".tip"); if (mark && !dragged) pick(mark); });
  region.addEventListener("blur", leave);
  region.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const lit = event.shiftKey ? own : own.filter((mark) => !mark.classList.contains("dim"));
    if (step && lit.length) {
      const next = lit[(lit.indexOf(here) + step + lit.length + (step < 0 && !lit.includes(here))) % lit.length];
      next.scrollIntoView({ block: "nearest", inline: "nearest" });
      first = (event.shiftKey && first) || here || next;
      const { right, bottom } = next.getBoundingClientRect();
      point(next, right, bottom);
      const ends = [first, next].map((mark) => own.indexOf(mark)).sort((a, b) => a - b);
      if (event.shiftKey) brush(own.slice(ends[0], ends[1] + 1), own);
      else first = null;
    } else if ((event.key === "Enter" || event.key === " ") && here) pick(here);
    else if (event.key === "Escape") { leave(); seek(""); }
    else return;
    event.preventDefault();
  });
}
