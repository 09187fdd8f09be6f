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

const filter = document.getElementById("filter");
if (filter) {
  const rows = [...document.getElementById("trials-table").tBodies[0].rows];
  const show = () => {
    const wanted = words(filter.value);
    rows.forEach((row) => row.classList.toggle("away", !has(row.textContent, wanted)));
    document.getElementById("count").textContent =
      `${rows.filter((row) => !row.classList.contains("away")).length} of ${rows.length}`;
  };
  filter.addEventListener("input", show);
  show();
}

for (const input of document.querySelectorAll("input[data-lines]")) {
  const lines = [...document.querySelectorAll(`#${input.dataset.lines} .tip`)];
  input.addEventListener("input", () => {
    const wanted = words(input.value);
    lines.forEach((line) => line.classList.toggle("dim", !has(line.querySelector("title").textContent, wanted)));
  });
}
