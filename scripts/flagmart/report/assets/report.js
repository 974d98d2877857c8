"use strict";
// Draws what the pages' JSON says. Flag keys, variations and environments are other people's text: they reach the page as
// text nodes and attributes alone, never as markup.

const { zones, asOf, ranges, axes, specs } = window.flagmart;
const page = JSON.parse(document.getElementById("document").textContent);
const byId = (id) => document.getElementById(id);

// ---- small helpers ----------------------------------------------------------------------------------------------------

/** An element with attributes and children; children that are no elements become text. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

const sum = (values) => values.reduce((total, value) => total + value, 0);
const count = (value) => value.toLocaleString("en");
const counted = (value, thing) => `${count(value)} ${thing}${value === 1 ? "" : "s"}`;
const percent = (share) => `${(100 * share).toFixed(share > 0 && share < 0.1 ? 2 : 1)}%`;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const dayOf = (local) => `${Number(local.slice(8, 10))} ${MONTHS[Number(local.slice(5, 7)) - 1]}`;
const momentOf = (local) => `${dayOf(local)} ${local.slice(0, 4)}, ${local.slice(11, 16)}`;

function change(now, before) {
  if (!before) return now ? "new" : "–";
  const moved = now / before - 1;
  const size = Math.abs(100 * moved);
  if (size < 0.05) return "0%";
  if (size >= 1000) return `× ${count(Math.round(now / before))}`;
  return `${moved > 0 ? "+" : "−"}${size.toFixed(size < 10 ? 1 : 0)}%`;
}

/** Percentage points between two shares; nothing where one of them is not known. */
function shift(now, before) {
  if (now === null || before === null) return "";
  const moved = 100 * (now - before);
  return Math.abs(moved) < 0.05 ? "±0.0 pp" : `${moved > 0 ? "+" : "−"}${Math.abs(moved).toFixed(1)} pp`;
}

/** The share of each; null where there are too few to speak of shares. */
function shares(values, atLeast = 1) {
  const total = sum(values);
  return values.map((value) => (total >= atLeast ? value / total : null));
}
/** Evaluations in the period before from which on a share may be said to have moved. */
const ENOUGH = 30;
/** Shares that moved by less are left unsaid in the list, by more stand out. */
const SEEN = 0.02, LARGE = 0.1;

// ---- what is chosen: range and zone everywhere, the rest in the address of a page -----------------------------------------

const kept = {
  get(name) {
    try { return localStorage.getItem(`flagmart.${name}`); } catch { return null; }
  },
  set(name, value) {
    try { localStorage.setItem(`flagmart.${name}`, value); } catch { /* not on a page that may keep nothing */ }
  },
};
const address = new URLSearchParams(location.hash.slice(1));
const among = (value, known, otherwise) => (known.includes(value) ? value : otherwise);
const rangeKeys = ranges.map((range) => range.key);
const chosen = {
  range: among(address.get("range") ?? kept.get("range"), rangeKeys, "30d"),
  zone: among(address.get("zone") ?? kept.get("zone"), zones, zones[0]),
  env: address.get("env") ?? "",
  view: among(address.get("view"), ["evaluations", "share", "users"], "evaluations"),
  search: address.get("search") ?? "",
};

function choose(name, value) {
  chosen[name] = value;
  if (name === "range" || name === "zone") kept.set(name, value);
  const said = new URLSearchParams(Object.entries(chosen).filter(([, text]) => text));
  history.replaceState(null, "", `#${said}`);
  draw();
}

const axis = () => axes[chosen.zone][chosen.range] ?? { starts: [], partial: false };

function segments(holder, name, options) {
  for (const { key, label } of options) {
    const input = make("input", { type: "radio", name, value: key, id: `${name}-${key}`, checked: chosen[name] === key });
    input.addEventListener("change", () => choose(name, key));
    holder.append(input, make("label", { for: input.id }, label));
  }
}

function select(element, name, options) {
  for (const { key, label } of options) element.append(make("option", { value: key }, label));
  element.value = chosen[name];
  element.addEventListener("change", () => choose(name, element.value));
}

function controls() {
  if (byId("ranges")) segments(byId("ranges"), "range", ranges.map(({ key, label }) => ({ key, label })));
  if (byId("zone")) {
    select(byId("zone"), "zone", zones.map((zone) => ({ key: zone, label: zone })));
    byId("zone-field").hidden = zones.length < 2;
  }
  byId("theme").value = document.documentElement.dataset.theme ?? "";
  byId("theme").addEventListener("change", () => {
    const theme = byId("theme").value;
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
    kept.set("theme", theme);
    draw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}

// ---- charts ------------------------------------------------------------------------------------------------------------

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const SERIES = 8;
const seriesColour = (place) => colour(`series-${(place % SERIES) + 1}`);

function theme() {
  const quiet = colour("quiet");
  return {
    background: null,
    font: "system-ui, sans-serif",
    padding: 0,
    aria: false,
    view: { stroke: null },
    axis: {
      domainColor: colour("line"), gridColor: colour("line"), labelColor: quiet, labelFontSize: 12, labelPadding: 8,
      domain: false, ticks: false, titleColor: quiet, titleFontWeight: "normal",
    },
    bar: { cornerRadius: 0 },
  };
}

const drawn = new Map();

/** Draws a chart where it is not drawn yet with the same data; `tell` fills in the tooltip of a datum. */
async function chart(holder, name, datasets, { params = {}, tell, height } = {}) {
  if (!window.vegaEmbed) return;
  const spec = structuredClone(specs[name]);
  spec.datasets = datasets;
  if (height) spec.height = height;
  for (const param of spec.params ?? []) if (param.name in params) param.value = params[param.name];
  const turn = (drawn.get(holder)?.turn ?? 0) + 1;
  drawn.get(holder)?.view?.finalize();
  drawn.set(holder, { turn });
  const made = await window.vegaEmbed(holder, spec, {
    mode: "vega-lite", renderer: "svg", actions: false, defaultStyle: false, ast: true, config: theme(),
    tooltip: (_handler, event, _item, value) => tip(event, value && tell ? tell(value) : null),
  });
  // what the picture shows is said by its holder's label and by a table
  holder.querySelector("svg").setAttribute("aria-hidden", "true");
  if (drawn.get(holder).turn === turn) drawn.set(holder, { turn, view: made });
}

function tip(event, content) {
  const box = byId("tip");
  box.hidden = !content;
  if (!content) return;
  box.replaceChildren(...content);
  const { innerWidth, innerHeight } = window;
  const { width, height } = box.getBoundingClientRect();
  const left = event.clientX + 16 + width > innerWidth ? event.clientX - 16 - width : event.clientX + 16;
  box.style.left = `${Math.max(8, left)}px`;
  box.style.top = `${Math.max(8, Math.min(event.clientY + 16, innerHeight - height - 8))}px`;
}

/** What an axis says below an interval: the hour, or the day where one begins. */
function labels() {
  const { starts } = axis();
  const byHour = chosen.range === "24h";
  const said = {};
  starts.forEach((start, index) => {
    const newDay = index === 0 || start.slice(0, 10) !== starts[index - 1].slice(0, 10);
    if (!byHour) { if (newDay) said[start] = dayOf(start); }
    else if (newDay) said[start] = dayOf(start);
    else if (Number(start.slice(11, 13)) % 3 === 0) said[start] = start.slice(11, 16);
  });
  return said;
}

// ---- the list -------------------------------------------------------------------------------------------------------------

const sorting = { by: "total", down: true };
const observer = "IntersectionObserver" in window ? new IntersectionObserver(seen, { rootMargin: "200px" }) : null;

function seen(entries) {
  for (const entry of entries) {
    if (entry.isIntersecting) {
      observer.unobserve(entry.target);
      entry.target.sparkle?.();
    }
  }
}

function envLabel(env) {
  return /^[0-9a-f]{8}-[0-9a-f-]{27}$/i.test(env) ? `${env.slice(0, 8)}…` : env || "(none)";
}

function startList() {
  const envs = [...new Set(page.rows.map((row) => row.env))].sort();
  chosen.env = among(chosen.env, envs, "");
  select(byId("env"), "env", [{ key: "", label: "All" }, ...envs.map((env) => ({ key: env, label: env || "(none)" }))]);
  byId("env-field").hidden = envs.length < 2;
  byId("flags").classList.toggle("one-env", envs.length < 2);
  byId("search").value = chosen.search;
  byId("search").addEventListener("input", () => choose("search", byId("search").value));
  byId("search").form.addEventListener("submit", (event) => event.preventDefault());
  for (const head of document.querySelectorAll("th[data-sort]")) {
    head.firstElementChild.addEventListener("click", () => {
      const by = head.dataset.sort;
      sorting.down = sorting.by === by ? !sorting.down : by !== "flag";
      sorting.by = by;
      draw();
    });
  }
}

function listed() {
  const wanted = chosen.search.trim().toLowerCase();
  const rows = page.rows
    .filter((row) => (!chosen.env || row.env === chosen.env) && row.flag.toLowerCase().includes(wanted))
    .map((row) => {
      const { spark, totals, before } = row.drawn[chosen.zone][chosen.range] ?? { spark: [], totals: [], before: [] };
      const total = sum(totals), earlier = sum(before);
      return { ...row, spark, totals, before, total, earlier, change: earlier ? total / earlier : total ? Infinity : -1,
        last: row.last[chosen.zone], lastAt: Date.parse(row.last[chosen.zone]) };
    });
  const key = { flag: (row) => row.flag, total: (row) => row.total, change: (row) => row.change, last: (row) => row.lastAt }[sorting.by];
  rows.sort((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : a.flag < b.flag ? -1 : 1) * (sorting.down ? -1 : 1));
  return rows;
}

function drawList() {
  const rows = listed();
  for (const head of document.querySelectorAll("th[data-sort]")) {
    const sorted = head.dataset.sort === sorting.by;
    if (sorted) head.setAttribute("aria-sort", sorting.down ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  }
  byId("found").textContent = rows.length === page.rows.length
    ? `${counted(rows.length, "row")}` : `${count(rows.length)} of ${counted(page.rows.length, "row")}`;
  byId("none").hidden = rows.length > 0;
  byId("none").textContent = page.rows.length
    ? "No flag is like that. Clear the search, or choose another environment."
    : "No evaluation has been built yet: ingest events, run dbt build, and write this page again.";
  byId("flags").hidden = rows.length === 0;
  byId("flags").tBodies[0].replaceChildren(...rows.map(listRow));
}

function listRow(row) {
  const said = new URLSearchParams({ env: row.env, range: chosen.range, zone: chosen.zone });
  const name = make("th", { scope: "row", class: "name" },
    make("a", { href: `${row.page}#${said}`, class: "key" }, row.flag || "(blank)"),
    make("span", { class: "env quiet", title: row.env }, envLabel(row.env)));
  const spark = make("td", { class: "spark" });
  const holder = make("div", { class: "sparkline", role: "img", "aria-label": trend(row.spark) });
  spark.append(holder);
  holder.sparkle = () => chart(holder, "spark", {
    points: row.spark.map((evaluations, index) => ({ index, evaluations, color: colour("series-1") })),
  });
  if (row.total && window.vegaEmbed) { if (observer) observer.observe(holder); else holder.sparkle(); }
  const moved = change(row.total, row.earlier);
  const big = row.earlier && Math.abs(row.total / row.earlier - 1) >= 0.5;
  return make("tr", {}, name, spark,
    make("td", { class: "number total" }, count(row.total)),
    make("td", { class: `number change${big || moved === "new" ? " big" : ""}`, title: `${count(row.earlier)} before` }, moved),
    make("td", { class: "shares" }, shareBar(row)),
    make("td", { class: "last" }, make("time", { datetime: row.last }, momentOf(row.last))));
}

function trend(values) {
  if (!sum(values)) return "no evaluations";
  return `from ${count(values[0])} to ${count(values.at(-1))} an interval, at most ${count(Math.max(...values))}`;
}

function shareBar(row) {
  const now = shares(row.totals), before = shares(row.before, ENOUGH);
  const bar = make("div", { class: "share-bar", "aria-hidden": "true" });
  const words = make("div", { class: "share-words" });
  row.variations.forEach((variation, place) => {
    if (!now[place]) return;
    const part = make("span");
    part.style.flexGrow = String(now[place]);
    part.style.background = `var(--series-${(place % SERIES) + 1})`;
    bar.append(part);
    const word = make("span", { title: variation.id },
      swatch(place), variation.name, " ", make("b", {}, percent(now[place])));
    const moved = before[place] === null ? 0 : Math.abs(now[place] - before[place]);
    if (moved >= SEEN) word.append(" ", make("em", { class: moved >= LARGE && "big" }, shift(now[place], before[place])));
    words.append(word);
  });
  return bar.childElementCount ? make("div", {}, bar, words) : "–";
}

function swatch(place) {
  const mark = make("span", { class: "swatch", "aria-hidden": "true" });
  mark.style.background = `var(--series-${(place % SERIES) + 1})`;
  return mark;
}

// ---- a flag -----------------------------------------------------------------------------------------------------------------

const VIEWS = [
  { key: "evaluations", label: "Evaluations", title: "Evaluations over time" },
  { key: "share", label: "Share", title: "Share of evaluations over time" },
  { key: "users", label: "Users", title: "Different users over time" },
];

function startFlag() {
  const envs = page.envs.map((one) => one.env);
  chosen.env = among(chosen.env, envs, envs[0]);
  select(byId("env"), "env", envs.map((env) => ({ key: env, label: env || "(none)" })));
  byId("env-field").hidden = envs.length < 2;
  segments(byId("views"), "view", VIEWS);
  byId("csv").addEventListener("click", download);
}

const current = () => page.envs.find((one) => one.env === chosen.env);

/** The chosen range of the chosen environment, zeros written out. */
function series() {
  const found = current().drawn[chosen.zone][chosen.range];
  const { starts } = axis();
  const filled = (values) => (values?.length ? values : starts.map(() => 0));
  const none = current().variations.map(() => 0);
  return {
    evaluations: current().variations.map((_, place) => filled(found?.evaluations[place])),
    users: current().variations.map((_, place) => filled(found?.users[place])),
    newUsers: found?.newUsers ?? none,
    anyUsers: filled(found?.anyUsers),
    anyNewUsers: found?.anyNewUsers ?? 0,
    before: found?.before ?? none,
  };
}

function drawFlag() {
  const { variations } = current();
  const found = series();
  const { starts, partial } = axis();
  const totals = found.evaluations.map(sum);
  const total = sum(totals), earlier = sum(found.before);
  const range = ranges.find((one) => one.key === chosen.range);
  byId("summary").replaceChildren(
    make("b", { id: "total" }, count(total)), ` evaluations in ${range.label} (`,
    make("b", {}, change(total, earlier)), ` against ${count(earlier)} before) by `,
    make("b", { id: "users-total" }, count(found.anyNewUsers)), ` different ${found.anyNewUsers === 1 ? "user" : "users"}. `,
    `Last seen ${momentOf(current().last[chosen.zone])}.`);
  const now = shares(totals), before = shares(found.before, ENOUGH);
  byId("variations").replaceChildren(...variations.map((variation, place) => make("li", { class: "tile" },
    make("span", { class: "tile-name", title: variation.id }, swatch(place), variation.name),
    make("span", { class: "tile-share" }, now[place] === null ? "–" : percent(now[place]),
      make("small", {}, shift(now[place], before[place]))),
    make("span", { class: "quiet" }, counted(totals[place], "evaluation")),
    make("span", { class: "quiet" }, counted(found.newUsers[place], "different user")))));

  const view = VIEWS.find((one) => one.key === chosen.view);
  byId("chart-title").textContent = view.title;
  const sums = starts.map((_, index) => sum(found.evaluations.map((values) => values[index])));
  const said = [`${starts.length} intervals of ${range.interval}, each by its start in ${chosen.zone}.`];
  if (partial) said.push("The last one is hatched: the newest data cut it short.");
  if (chosen.view === "users") {
    said.push("A user who saw two variations, or came in two intervals, is one in each: neither lines nor intervals add up. "
      + "The dashed line counts each user of any variation once. Counts from summaries know no users.");
  }
  byId("caption").textContent = said.join(" ");
  byId("chart").setAttribute("role", "img");
  byId("chart").setAttribute("aria-label", `${view.title}; the table below has the same numbers`);

  const points = [];
  const source = chosen.view === "users" ? found.users : found.evaluations;
  source.forEach((values, place) => values.forEach((value, index) => points.push({
    start: starts[index], rank: place, color: seriesColour(place), dash: [1, 0],
    evaluations: value, users: value, share: sums[index] ? value / sums[index] : 0,
  })));
  if (chosen.view === "users" && variations.length > 1) {
    found.anyUsers.forEach((users, index) => points.push({
      start: starts[index], rank: variations.length, color: colour("quiet"), dash: [4, 4], users,
    }));
  }
  const last = starts.length - 1;
  chart(byId("chart"), { evaluations: "stacked", share: "share", users: "users" }[chosen.view], {
    points,
    partial: last < 0 ? [] : [{
      start: starts[last], cut: Number(partial), total: partial ? sums[last] : 0, total_share: Number(partial && sums[last] > 0),
    }],
    intervals: starts.map((start, index) => ({ start, index })),
  }, { params: { labels: labels() }, tell: ({ index }) => tellInterval(index, found, sums) });
  drawTable(found, sums);
}

function tellInterval(index, found, sums) {
  const { starts, partial } = axis();
  const isCut = partial && index === starts.length - 1;
  const rows = current().variations.map((variation, place) => {
    const value = chosen.view === "users" ? found.users[place][index] : found.evaluations[place][index];
    const share = chosen.view !== "users" && sums[index] ? percent(value / sums[index]) : "";
    return make("tr", {}, make("th", {}, swatch(place), variation.name), make("td", {}, count(value)), make("td", {}, share));
  });
  const whole = chosen.view === "users" ? found.anyUsers[index] : sums[index];
  rows.push(make("tr", { class: "sum" }, make("th", {}, chosen.view === "users" ? "any" : "all"),
    make("td", {}, count(whole)), make("td", {})));
  return [
    make("p", {}, make("b", {}, momentOf(starts[index])), ` ${offset(starts[index])}`, isCut ? " · cut short" : ""),
    make("table", {}, make("tbody", {}, ...rows)),
  ];
}

const offset = (local) => (/[+-]\d\d:\d\d$/.test(local) ? `UTC${local.slice(-6)}`.replace("UTC+00:00", "UTC") : "UTC");

function drawTable(found, sums) {
  const { variations } = current();
  const { starts, partial } = axis();
  const users = chosen.view === "users";
  const table = byId("points");
  const number = (value) => make("td", { class: "number" }, value);
  const cell = (value, index) => (chosen.view === "share" ? (sums[index] ? percent(value / sums[index]) : "–") : count(value));
  table.tHead.replaceChildren(make("tr", {}, make("th", { scope: "col" }, `Start (${chosen.zone})`),
    ...variations.map((variation, place) => make("th", { scope: "col", class: "number", title: variation.id }, swatch(place), variation.name)),
    make("th", { scope: "col", class: "number" }, users ? "Any variation" : "All")));
  const source = users ? found.users : found.evaluations;
  const whole = users ? found.anyUsers : sums;
  table.tBodies[0].replaceChildren(...starts.map((start, index) => make("tr", {},
    make("th", { scope: "row" }, make("time", { datetime: start }, momentOf(start)),
      partial && index === starts.length - 1 ? make("span", { class: "badge" }, "cut short") : ""),
    ...source.map((values) => number(cell(values[index], index))), number(count(whole[index])))).reverse());
  const totals = users ? found.newUsers : found.evaluations.map(sum);
  const all = users ? found.anyNewUsers : sum(totals);
  table.tFoot.replaceChildren(make("tr", {}, make("th", { scope: "row" }, users ? "Different users" : "Whole range"),
    ...totals.map((value) => number(chosen.view === "share" ? (all ? percent(value / all) : "–") : count(value))), number(count(all))));
}

function download() {
  const found = series();
  const { starts, partial } = axis();
  const quoted = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  const lines = [["env_id", "flag_key", "variation_id", "interval_start_local", "is_partial", "evaluations", "users"]];
  current().variations.forEach(({ id }, place) => starts.forEach((start, index) => lines.push([
    chosen.env, page.flag, id, start, String(partial && index === starts.length - 1),
    String(found.evaluations[place][index]), String(found.users[place][index]),
  ])));
  const text = lines.map((line) => line.map(quoted).join(",")).join("\r\n") + "\r\n";
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
  const name = page.flag.replace(/[^\w.-]+/g, "_").slice(0, 80) || "flag";
  make("a", { href: url, download: `${name}-${chosen.range}.csv` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

// ---- experiments and data health ------------------------------------------------------------------------------------------------

function drawExperiments() {
  page.experiments.forEach((one, number) => {
    const coloured = (rows) => rows.map((row) => ({ ...row, color: seriesColour(row.rank) }));
    const written = (value) => (one.unit === "share" ? signedPercent(value) : signed(value));
    const tell = (row) => [make("p", {}, make("b", {}, row.name), row.start ? ` · ${dayOf(row.start)}` : ""),
      make("p", {}, `${written(row.value)} (${written(row.low)} to ${written(row.high)})`),
      make("p", {}, `if peeked ${written(row.wideLow)} to ${written(row.wideHigh)}`)];
    const zero = [{ color: colour("quiet") }];
    const forest = document.querySelector(`[data-forest="${number}"]`);
    if (forest) chart(forest, `forest-${one.unit}`, { effects: coloured(one.forest), one: zero }, { tell, height: 40 + 40 * one.forest.length });
    const curve = document.querySelector(`[data-curve="${number}"]`);
    if (!curve) return;
    const starts = [...new Set(one.curve.map((row) => row.start))];
    const effects = coloured(one.curve);
    chart(curve, `curve-${one.unit}`, { effects, one: zero, intervals: starts.map((start) => ({ start })) }, {
      params: { labels: Object.fromEntries(starts.map((start) => [start, dayOf(start)])), sight: sight(one.curve) },
      tell: ({ start }) => effects.filter((row) => row.start === start).flatMap(tell),
    });
  });
}

const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toPrecision(3)}`;
const signedPercent = (value) => `${value < 0 ? "−" : "+"}${(100 * Math.abs(value)).toFixed(1)}%`;

/** From where to where a curve is looked at: all of its later half, and zero; the first days may leave it. */
function sight(rows) {
  const later = rows.slice(Math.floor(rows.length / 2));
  const values = [0, ...later.flatMap((row) => [row.wideLow, row.wideHigh]), ...rows.map((row) => row.value)].filter(Number.isFinite);
  return [Math.min(...values), Math.max(...values)];
}

function drawHealth() {
  const { days } = page.health;
  if (!days.length) return;
  for (const name of ["outcomes", "late"]) {
    const series = page.health[name];
    byId(`${name}-legend`).replaceChildren(...series.map((one, place) => make("li", {}, swatch(place), one.name)));
    chart(byId(name), "stacked", {
      points: series.flatMap((one, place) => one.values.map((evaluations, index) => ({
        start: days[index], evaluations, rank: place, color: seriesColour(place),
      }))),
      partial: [{ start: days[0], total: 0 }],
      intervals: days.map((start, index) => ({ start, index })),
    }, {
      params: { labels: Object.fromEntries(days.map((day) => [day, dayOf(day)])) },
      tell: ({ start, index }) => [make("p", {}, make("b", {}, `${dayOf(start)} ${start.slice(0, 4)}`)),
        make("table", {}, make("tbody", {}, ...series.map((one, place) => make("tr", {},
          make("th", {}, swatch(place), one.name), make("td", {}, count(one.values[index]))))))],
    });
  }
}

// ---- all together ---------------------------------------------------------------------------------------------------------------

const pages = {
  flags: { here: Boolean(page.rows), start: startList, draw: drawList },
  flag: { here: Boolean(page.envs), start: startFlag, draw: drawFlag },
  experiments: { here: Boolean(page.experiments), draw: drawExperiments },
  health: { here: Boolean(page.health), draw: drawHealth },
};

function draw() {
  const until = asOf[chosen.zone];
  byId("as-of").textContent = until
    ? `As of ${momentOf(until)} ${offset(until)} (${chosen.zone}): all ranges end there, at the newest data.`
    : "There is no data yet.";
  for (const one of Object.values(pages)) if (one.here) one.draw();
}

controls();
for (const one of Object.values(pages)) if (one.here) one.start?.();
draw();
// words and numbers are there by now; the charts follow when their library has come
if (!window.vegaEmbed) addEventListener("DOMContentLoaded", draw);
