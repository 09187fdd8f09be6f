"use strict";
const words = (text) => text.toLowerCase().split(/\s+/).filter(Boolean);
const has = (text, wanted) => wanted.every((word) => text.toLowerCase().includes(word));

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

// What is shown is the address after '#': scale=2&metric=bpb&open=scale-2-effects,trials&q=4+bitnet-v2
const at = (id) => document.getElementById(id);
const [bar, scale, metric, filter] = ["bar", "scale", "metric", "filter"].map(at);
const parts = [...document.querySelectorAll("details.part")];
const opened = () => parts.filter((part) => part.open);
bar.hidden = false;
bar.addEventListener("submit", (event) => event.preventDefault());

const show = () => {
  const wanted = { scale: scale?.value ?? "all", metric: metric?.value ?? "all" };
  for (const each of document.querySelectorAll("main > [data-scale]")) {
    each.hidden = Object.entries(wanted).some(([key, value]) => value !== "all" && (each.dataset[key] ?? value) !== value);
  }
  const sought = words(filter.value);
  for (const tip of document.querySelectorAll(".tip")) {
    tip.classList.toggle("dim", !has(tip.querySelector("title").textContent, sought));
  }
  const rows = [...document.querySelectorAll("table.sortable tbody tr")];
  rows.forEach((row) => row.classList.toggle("away", !has(row.textContent, sought)));
  const trials = rows.filter((row) => row.closest("#trials-table"));
  at("count").textContent = `${trials.filter((row) => !row.classList.contains("away")).length} of ${trials.length} trials`;
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
