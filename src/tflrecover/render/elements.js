"use strict";

const { rows, differences, sides } = JSON.parse(document.getElementById("data").textContent);
const root = document.documentElement;
const byId = (id) => document.getElementById(id);

const MARKS = { different: "≠", missing: "+", extra: "−", following: "~", unsure: "?", scaling: "·", equal: "=" };
const isAccepted = (row) => row.differences?.every((number) => differences[number][1]) ?? false;

// ---- Elements: text only, so that a name is never taken for markup

function make(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

function titled(element, title) {
  element.title = title;
  return element;
}

function link(i, side) {
  const cell = rows[i][side];
  const made = make("a", "", `${cell.type} ${(side === "file" ? cell.index : cell.layer) ?? ""}`);
  made.href = `#${rows[i].id}`;
  return made;
}

const shortName = (name) => name.split(";", 1)[0];

function cellOf(row, side) {
  const cell = row[side];
  if (!cell) return make("span", `cell ${side} void`);
  const name = side === "keras" ? cell.layer ?? cell.name : cell.name;
  const at = side === "file" ? 1 : 2;
  const changed = (row.attributes ?? []).filter((attribute) => attribute[3]);
  const other = row[side === "file" ? "keras" : "file"];
  const isOther = (key) => !["equal", "unsure"].includes(row.state) && other && other[key] !== cell[key];
  return make(
    "span",
    `cell ${side}`,
    make("span", isOther("type") ? "type chip" : "type", cell.type),
    titled(make("span", "name", shortName(name ?? "")), name ?? ""),
    ...changed.map((attribute) => make("span", "chip", `${attribute[0]}=${attribute[at] ?? "none"}`)),
    side === "keras" && row.check?.first && make("span", "badge", "first divergence"),
    side === "keras" && row.check?.open && make("span", "badge quiet", "not checked"),
    side === "keras" && row.check?.output && make("span", "badge quiet", `output ${row.check.output}`),
    side === "keras" && other && !row.match && make("span", "badge quiet", "not sure"),
    make("span", isOther("shape") ? "shape chip" : "shape", cell.shape ?? ""),
  );
}

function heatOf(check) {
  if (!check) return make("span");
  const bar = make("i");
  bar.style.width = `${check.heat * 100}%`;
  const told = check.open ? ": rounding explains too much, this is not checked" : "";
  return titled(make("span", check.ok ? "heat" : "heat bad", bar), `error ${check.alone}, tolerance ${check.tolerance}${told}`);
}

/** The place of a row; it is filled while it is near the part that is in sight. */
function elementOf(i) {
  const row = rows[i];
  const made = make("div", `row ${row.state}${isAccepted(row) ? " accepted" : ""}`);
  made.id = row.id;
  made.dataset.row = i;
  nearness.observe(made);
  return made;
}

const nearness = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target, boundingClientRect } of entries) {
      if (isIntersecting) fill(target);
      else if (target.firstChild && !detailIn(target)) {
        target.style.minHeight = `${boundingClientRect.height}px`;
        target.replaceChildren();
      }
    }
  },
  { rootMargin: "1200px" },
);

function fill(element) {
  if (element.firstChild) return;
  const i = Number(element.dataset.row);
  const row = rows[i];
  element.append(
    make(
      "div",
      "line",
      make("span", "number", String(row.file?.index ?? "")),
      make("span"),
      cellOf(row, "file"),
      titled(make("span", "mark", MARKS[row.state]), row.state),
      cellOf(row, "keras"),
      make("span"),
      heatOf(row.check),
    ),
    lanesOf(i, "file"),
    lanesOf(i, "keras"),
    ...(row.differences ?? []).filter((number) => isFirstOf(number, i)).map(messageOf),
  );
}

const firstRows = new Map();
rows.forEach((row, i) => (row.differences ?? []).forEach((n) => firstRows.has(n) || firstRows.set(n, i)));
const isFirstOf = (number, i) => firstRows.get(number) === i;

function messageOf(number) {
  const [message, accepted] = differences[number];
  return make("p", "message", accepted && make("span", "kind accepted", "accepted"), accepted && " ", ...coded(message));
}

const coded = (text) => text.split("`").map((part, i) => (i % 2 ? make("code", "", part) : part));

// ---- Details of one row

function table(entries, head) {
  const made = make("table", "", make("tr", "", ...head.map((name) => make("th", "", name))));
  for (const { cells, changed } of entries) {
    const cellsOf = (cell) => make("td", "", ...(Array.isArray(cell) ? cell : [String(cell ?? "–")]));
    made.append(make("tr", changed ? "changed" : "", ...cells.map(cellsOf)));
  }
  return made;
}

function detailOf(row) {
  const { file, keras, check } = row;
  const operands = (cell, side) => (cell?.operands ?? []).flatMap((i) => [link(i, side), " "]);
  const both = (label, of) => ({ cells: [label, of(file, "file"), of(keras, "keras")] });
  const attributes = (row.attributes ?? []).map(([name, mine, theirs, changed]) => ({ cells: [name, mine, theirs], changed }));
  const names = [
    both("output", (cell) => cell?.name),
    both("type", (cell) => cell && `${cell.shape} ${cell.dtype ?? ""}`),
    both("takes", operands),
    { cells: ["layer", "", keras?.layer] },
    { cells: ["matched by", row.match ?? (file && keras ? "not sure" : "nothing"), ""] },
  ];
  const followed = (row.following ?? []).map((number) => make("p", "", "follows from: ", ...coded(differences[number][0])));
  const numbers = check && ["alone", "tolerance", "max_abs", "max_rel", "rms_rel", "output", "reference"].filter((key) => key in check);
  return make(
    "div",
    "detail",
    table([...attributes, ...names], ["", ...sides]),
    numbers && table(numbers.map((key) => ({ cells: [key, check[key]] })), ["error", ""]),
    weightsOf(row),
    ...followed,
  );
}

const detailIn = (element) => element.querySelector(":scope > .detail");

function toggle(element, wanted) {
  fill(element);
  const detail = detailIn(element);
  if (detail && wanted !== true) detail.remove();
  else if (!detail && wanted !== false) element.append(detailOf(rows[element.dataset.row]));
}
