
// What runs, asked for again and again; texts of trials are set as text, never as markup.
{
  const SECONDS = 2;
  const NS = "http://www.w3.org/2000/svg";
  const SIGNS = { done: "●", running: "◐", waiting: "·", stalled: "◌", diverged: "✕", failed: "!" };
  const element = (name, text, ...children) => {
    const made = document.createElement(name);
    if (text !== null) made.textContent = text;
    made.append(...children);
    return made;
  };
  const table = (title, heads, rows) => {
    const head = element("tr", null, ...heads.map((each) => { const th = element("th", each); th.scope = "col"; return th; }));
    const body = rows.map((cells) => element("tr", null, ...cells.map((cell) =>
      typeof cell === "string" ? element("td", cell) : element("td", null, cell))));
    const made = element("table", null, element("caption", title), element("thead", null, head), element("tbody", null, ...body));
    const around = element("div", null, made);
    Object.assign(around, { className: "scroll", tabIndex: 0, role: "region", ariaLabel: title });
    return around;
  };
  const curve = (losses) => {
    const svg = document.createElementNS(NS, "svg");
    const [low, high] = [Math.min(...losses), Math.max(...losses)];
    const place = (loss, at) => `${(100 * at / Math.max(1, losses.length - 1)).toFixed(1)} ${(1 + 18 * (high - loss) / (high - low || 1)).toFixed(1)}`;
    svg.setAttribute("viewBox", "0 0 100 20");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", losses.length ? `training loss from ${losses[0].toFixed(3)} to ${losses.at(-1).toFixed(3)}` : "no loss yet");
    const path = document.createElementNS(NS, "path");
    if (losses.length) path.setAttribute("d", `M${losses.map(place).join("L")}`);
    svg.append(path);
    return svg;
  };
  const closed = (key, words, ...children) => {
    const made = element("details", null, element("summary", words), ...children);
    made.dataset.key = key;
    return made;
  };
  const logOf = (sweep, trial, title) => {
    const made = closed(`${sweep}/${trial}`, title);
    made.addEventListener("toggle", async () => {
      if (!made.open || made.querySelector("pre")) return;
      const pre = made.appendChild(element("pre", "…"));
      pre.tabIndex = 0;
      try {
        const answer = await fetch(`log?${new URLSearchParams({ sweep, trial })}`);
        pre.textContent = answer.ok ? await answer.text() : "There is no log of it.";
      } catch { pre.textContent = "No answer: is bitskip watch --web still there?"; }
    });
    return made;
  };
  const runningTable = (sweep) => table("Running", ["trial", "training loss", "last", "step", "speed"], sweep.running.map((each) => [
    logOf(sweep.folder, each.trial_id, each.label), curve(each.losses), each.loss, each.progress, each.note]));
  const failures = (sweep) => closed(`${sweep.folder} failures`,
    `${sweep.failed} without a usable result${sweep.failures.length < sweep.failed ? `; the last ${sweep.failures.length}` : ""}`,
    ...sweep.failures.map((each) => logOf(sweep.folder, each.trial_id, `${each.status}: ${each.label}${each.reason ? `: ${each.reason}` : ""}`)));
  const grid = (sweep) => {
    const made = table("Trials by seed", ["configuration", ...sweep.seeds.map((seed) => `seed ${seed}`)],
      sweep.configurations.map((each) => [each.label, ...each.states.map((state) => state ? `${SIGNS[state]} ${state}` : "")]));
    made.classList.add("grid");
    return closed(`${sweep.folder} grid`, `All ${sweep.configurations.length} configurations`, made);
  };
  const told = (sweep) => {
    const bar = element("progress", null);
    Object.assign(bar, { max: Math.max(1, sweep.total), value: sweep.ended, ariaLabel: `${sweep.ended} of ${sweep.total} trials` });
    const parts = sweep.next.map((line) => element("p", line));
    parts.push(...sweep.problems.map((line) => Object.assign(element("p", line), { className: "warn" })));
    if (sweep.running.length) parts.push(runningTable(sweep));
    if (sweep.failed) parts.push(failures(sweep));
    if (sweep.configurations.length) parts.push(grid(sweep));
    return sweep.complete && !sweep.running.length ? closed(sweep.folder, `${sweep.name}: ${sweep.line}`, ...parts)
      : element("section", null, element("h3", sweep.name), element("p", sweep.line), bar, ...parts);
  };

  const [status, sweeps, report] = ["live-status", "live-sweeps", "live-report"].map((id) => document.getElementById(id));
  let before = "";
  const draw = (found) => {
    // A log that is being read stays, with what was fetched of it; so does the place of the keyboard.
    const old = new Map([...sweeps.querySelectorAll("details[open]")].map((each) => [each.dataset.key, each]));
    const focused = document.activeElement?.closest("#live-sweeps details")?.dataset.key;
    sweeps.replaceChildren(...found.sweeps.map(told));
    for (const each of sweeps.querySelectorAll("details")) {
      const was = old.get(each.dataset.key);
      const pre = was?.querySelector("pre");
      if (pre) each.append(pre);
      if (was) each.open = true;
      if (each.dataset.key === focused) each.querySelector("summary").focus({ preventScroll: true });
    }
  };
  const shown = Number(document.getElementById("live").dataset.rows);
  const tellReport = ({ rows, ended, making, problem }) => {
    const trials = (count) => `${count} trial${count === 1 ? "" : "s"}`;
    const since = shown ? `${trials(ended - shown)} since this report: make it anew` : `Make the report of ${trials(ended)}`;
    const words = making ? "A report of what has finished is being made …" : problem
      || (rows !== shown ? `Show the report of ${trials(rows)}` : ended !== shown ? since : "");
    const link = element("a", words);
    link.href = "./";
    if (report.textContent !== words) report.replaceChildren(making || problem ? words : link);
    report.hidden = !words;
  };
  const ask = async () => {
    try {
      const answer = await fetch("state.json", { cache: "no-store" });
      if (!answer.ok) throw new Error(`${answer.status}`);
      const found = await answer.json();
      const now = JSON.stringify(found.sweeps);
      if (now !== before) draw(found);
      before = now;
      status.textContent = found.line;
      tellReport(found.report);
    } catch { status.textContent = "No answer: is bitskip watch --web still there? Shown is what it said last."; }
    setTimeout(ask, 1000 * SECONDS);
  };
  ask();
}
