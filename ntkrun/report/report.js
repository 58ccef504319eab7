"use strict";
// Sort, filter and unfold the tables, and draw the charts, which follow the filter and the colours of the system.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const themes = JSON.parse(document.getElementById("themes").textContent);
  const redraw = [];
  document.documentElement.classList.add("js");

  const make = (name, properties) => Object.assign(document.createElement(name), properties);

  // The interpreter of Vega's expressions needs no eval, which the content policy forbids.
  async function draw(place, spec, data) {
    const narrow = place.clientWidth < 480;
    const theme = structuredClone(themes[dark.matches ? "dark" : "light"]);
    if (narrow) {
      theme.legend.columns = 1;
      theme.axisY = { labelLimit: 110 };
    }
    const live = make("div", { className: "live-chart" });
    place.replaceChildren(live);
    const drawn = await vegaEmbed(live, { ...spec, datasets: data }, {
      mode: "vega-lite", ast: true, renderer: "svg", actions: false, defaultStyle: false, config: theme,
      tooltip: { disableDefaultStyle: true },
    });
    return drawn.view;
  }

  function part(section) {
    const { lines, charts } = JSON.parse(section.querySelector(".data").textContent);
    const table = section.querySelector("table.lines");
    const bodies = [...table.tBodies];
    const words = bodies.map((body) => body.textContent.toLowerCase());
    const signals = { on: "test", hidden: {} };
    const views = new Map();

    function toggle(body, open) {
      body.classList.toggle("open", open);
      body.querySelector(".open-it")?.setAttribute("aria-expanded", body.classList.contains("open"));
    }
    for (const body of bodies) {
      const first = body.rows[0].cells[0];
      if (body.rows.length === 1) continue;
      const button = make("button", { type: "button", className: "open-it", ariaLabel: "runs of this row" });
      button.setAttribute("aria-expanded", "false");
      button.addEventListener("click", () => toggle(body));
      first.prepend(button);
    }

    function sort(column, head) {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const cell of table.tHead.rows[0].cells) cell.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const key = (i) => lines[i].sort[column];
      const order = [...bodies.keys()].sort((a, b) => {
        const x = key(a), y = key(b);
        if (x === null || y === null) return (x === null) - (y === null);
        const way = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), "en", { numeric: true });
        return down ? -way : way;
      });
      table.append(...order.map((i) => bodies[i]));
    }
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      if (bodies.length < 2) return;
      const button = make("button", { type: "button", textContent: head.textContent, title: "sort" });
      button.addEventListener("click", () => sort(column, head));
      head.replaceChildren(button);
    });

    const filter = section.querySelector(".filter");
    const picks = [];
    function apply() {
      const wanted = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
      const hidden = {};
      bodies.forEach((body, i) => {
        const fits = wanted.every((word) => words[i].includes(word))
          && picks.every(({ pick, column }) => pick.value === "" || String(lines[i].sort[column]) === pick.value);
        body.classList.toggle("out", !fits);
        if (!fits) hidden[i] = true;
      });
      const gone = Object.keys(hidden).length;
      section.querySelector("output").textContent = gone ? `${bodies.length - gone} of ${bodies.length} rows` : "";
      set("hidden", hidden);
    }
    if (filter) {
      [...table.tHead.rows[0].cells].forEach((head, column) => {
        const values = [...new Set(lines.map((line) => line.sort[column]))].filter((value) => value !== null && value !== undefined);
        if (!(head.classList.contains("left") || column === 1) || values.length < 2 || values.length > 12) return;
        values.sort((a, b) => String(a).localeCompare(String(b), "en", { numeric: true }));
        const pick = make("select", {});
        pick.append(new Option(`${head.textContent}: all`, ""), ...values.map((value) => new Option(String(value), String(value))));
        pick.setAttribute("aria-label", head.textContent);
        pick.addEventListener("change", apply);
        picks.push({ pick, column });
        section.querySelector(".picks").append(pick, " ");
      });
      filter.addEventListener("input", apply);
      const all = section.querySelector(".all");
      all.addEventListener("click", () => {
        const open = all.textContent.startsWith("Show");
        bodies.forEach((body) => toggle(body, open));
        all.textContent = open ? "Hide the runs" : "Show every run";
      });
    }

    function set(name, value) {
      signals[name] = value;
      for (const view of views.values()) view.signal(name, value).runAsync();
    }
    for (const radio of section.querySelectorAll("input[type=radio]")) {
      radio.addEventListener("change", () => {
        set("on", radio.value);
        for (const word of section.querySelectorAll(".on")) word.textContent = radio.value === "test" ? "test" : "held-out";
      });
    }

    function find(id) {
      const body = bodies[id];
      for (const other of bodies) other.classList.toggle("found", other === body);
      toggle(body, true);
      body.scrollIntoView({ block: "center", behavior: "smooth" });
    }
    for (const figure of section.querySelectorAll("figure[data-chart]")) {
      const name = figure.dataset.chart;
      redraw.push(async () => {
        views.get(name)?.finalize();
        const view = await draw(figure.querySelector(".chart"), charts[name], { lines });
        views.set(name, view);
        view.addEventListener("click", (event, item) => item?.datum?.id !== undefined && find(item.datum.id));
        for (const [signal, value] of Object.entries(signals)) view.signal(signal, value);
        await view.runAsync();
      });
    }
  }

  function path(run) {
    const table = run.querySelector(".lambdas");
    const place = run.querySelector(".path .chart");
    if (!table || place.drawn) return;
    place.drawn = true;
    const rows = [...table.rows].slice(1).map((row) => ({
      lambda: Number(row.cells[0].textContent), score: Number(row.cells[1].textContent), chosen: row.classList.contains("chosen"),
    }));
    const x = { field: "lambda", type: "quantitative", scale: { type: "log", nice: false }, title: "relative lambda", axis: { format: ".0e", tickCount: 5 } };
    const y = { field: "score", type: "quantitative", scale: { zero: false }, title: table.rows[0].cells[1].textContent };
    const tooltip = [{ field: "lambda", format: ".3g", title: "relative lambda" }, { field: "score", format: ".4f" }];
    const dots = { type: "point", filled: true, size: 35, opacity: 1 };
    const ring = { type: "point", size: 180, filled: false, strokeWidth: 2, style: "ring" };
    const spec = {
      data: { name: "path" }, width: "container", height: 190, encoding: { x, y, tooltip },
      layer: [{ mark: "line" }, { mark: dots }, { transform: [{ filter: "datum.chosen" }], mark: ring }],
    };
    const show = () => draw(place, spec, { path: rows });
    redraw.push(show);
    show();
  }

  function open() {
    const run = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (run?.matches("details.run")) {
      for (let one = run; one; one = one.parentElement.closest("details")) one.open = true;
      run.scrollIntoView();
    }
  }

  document.querySelectorAll("section.part").forEach(part);
  for (const run of document.querySelectorAll("details.run")) {
    run.addEventListener("toggle", () => run.open && path(run));
    if (run.open) path(run);
  }
  addEventListener("hashchange", open);
  open();
  const everything = () => Promise.all(redraw.map((show) => show()));
  dark.addEventListener("change", everything);
  everything().then(() => document.documentElement.classList.add("drawn"));
})();
