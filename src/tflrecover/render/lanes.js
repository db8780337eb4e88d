// ---- Branches: every value has a lane, from the operator that makes it to the last one that takes it

const LANE = 9;
const WIDEST = 90;
const MARGIN = 6;
// Where a row's node is, and where curves into it from below begin.
const NODE = 13;
const BELOW = 26;

/** From and to which row the value of each row lives, and in which lane; null where the side has no operator. */
function spansOf(side) {
  const spans = rows.map((row, i) => (row[side] ? { from: i, to: i, lane: 0 } : null));
  const taken = (i) => (rows[i][side].operands ?? []).map((operand) => spans[operand]);
  const inUse = [...rows.keys()].filter((i) => spans[i]);
  for (const i of inUse) {
    for (const span of taken(i)) {
      span.from = Math.min(span.from, i);
      span.to = Math.max(span.to, i);
    }
  }
  const freeFrom = [];
  for (const i of inUse.sort((a, b) => spans[a].from - spans[b].from)) {
    // A chain stays in its lane.
    const ending = taken(i).filter((span) => span.to === i).map((span) => span.lane);
    const free = freeFrom.findIndex((row) => row <= spans[i].from);
    spans[i].lane = ending.length ? Math.min(...ending) : free >= 0 ? free : freeFrom.length;
    freeFrom[spans[i].lane] = spans[i].to;
  }
  return spans;
}

/** Per row, the lanes that go past it. */
function passingOf(spans) {
  const passing = spans.map(() => []);
  for (const span of spans) {
    for (let i = (span?.from ?? 0) + 1; i < (span?.to ?? 0); i += 1) passing[i].push(span.lane);
  }
  return passing;
}

const branches = Object.fromEntries(
  ["file", "keras"].map((side) => {
    const spans = spansOf(side);
    const count = spans.reduce((most, span) => Math.max(most, (span?.lane ?? 0) + 1), 1);
    const gap = count > 1 ? Math.min(LANE, WIDEST / (count - 1)) : 0;
    const width = 2 * MARGIN + (count - 1) * gap;
    // The first lane is beside the operators: at the right on the left side.
    const x = (lane) => (side === "file" ? width - MARGIN - lane * gap : MARGIN + lane * gap).toFixed(1);
    return [side, { spans, passing: passingOf(spans), width, x }];
  }),
);

function drawn(tag, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const lanes = (side, path, ...more) =>
  drawn("svg", { class: `lanes ${side}`, width: branches[side].width, "aria-hidden": "true" }, drawn("path", { d: path }), ...more);

function intoNode(from, at, isAbove) {
  if (from === at) return `M${at} ${NODE}V${isAbove ? 0 : 9999}`;
  return isAbove ? `M${from} 0C${from} 9 ${at} 4 ${at} ${NODE}` : `M${from} 9999V${BELOW}C${from} 17 ${at} 22 ${at} ${NODE}`;
}

function lanesOf(i, side) {
  const { spans, passing, x } = branches[side];
  const past = passing[i].map((lane) => `M${x(lane)} 0V9999`).join("");
  const own = spans[i];
  if (!own) return lanes(side, past);
  const at = x(own.lane);
  const made = `${own.from < i ? `M${at} 0V${NODE}` : ""}${own.to > i ? `M${at} ${NODE}V9999` : ""}`;
  const taken = (rows[i][side].operands ?? []).map((operand) => intoNode(x(spans[operand].lane), at, operand < i));
  return lanes(side, past + made + taken.join(""), drawn("circle", { cx: at, cy: NODE, r: 3.5 }));
}

/** What goes into a fold at its top, and out of it at its bottom. */
function foldedLanes(from, to, side) {
  const { spans, x } = branches[side];
  const crossing = (i) => spans.filter((span) => span && span.from < i && i <= span.to).map((span) => x(span.lane));
  const parts = [...crossing(from).map((at) => `M${at} 0V${NODE}`), ...crossing(to).map((at) => `M${at} ${NODE}V9999`)];
  return lanes(side, parts.join(""));
}
