// A short stretch is not worth a fold; this many rows stay in sight on either side of what differs.
const CONTEXT = 2;
const SHORTEST_FOLD = 4;
// Of a long run that one difference is about, so many rows are shown at its ends.
const RUN_END = 10;

// ---- What is worth stopping at

const isDiverging = (row) => row.check && !row.check.ok;
const isRoot = (row) => ["different", "missing", "extra", "unsure"].includes(row.state) || isDiverging(row);
const told = (row) => (row.differences ?? []).join();
const goesOn = (i) => i > 0 && isRoot(rows[i - 1]) && told(rows[i - 1]) === told(rows[i]) && !rows[i].check?.first;
const isStop = (i) => isRoot(rows[i]) && !goesOn(i);
const stops = [...rows.keys()].filter(isStop);
const anchors = new Map(rows.map((row, i) => [row.id, i]));

// ---- The list: rows, and folds where nothing is to be seen

const list = byId("rows");

function shownRows() {
  const shown = new Uint8Array(rows.length);
  rows.forEach((row, i) => {
    if (isRoot(row)) shown.fill(1, Math.max(0, i - CONTEXT), i + CONTEXT + 1);
  });
  for (const start of stops) {
    let end = start + 1;
    while (end < rows.length && isRoot(rows[end]) && goesOn(end)) end += 1;
    if (end - start > 2 * RUN_END + SHORTEST_FOLD) shown.fill(0, start + RUN_END, end - RUN_END);
  }
  shown.fill(1, 0, CONTEXT);
  shown.fill(1, Math.max(0, rows.length - CONTEXT));
  return shown;
}

function foldOf(from, to) {
  const counts = {};
  for (const row of rows.slice(from, to)) {
    const state = isDiverging(row) ? "diverging" : row.state === "scaling" ? "equal" : row.state;
    counts[state] = (counts[state] ?? 0) + 1;
  }
  const parts = Object.entries(counts);
  const told = parts.length === 1 ? `${to - from} ${parts[0][0]} operators` : `${to - from} operators: ${parts.map(([state, n]) => `${n} ${state}`).join(", ")}`;
  const made = make("button", "fold", `… ${told}`, foldedLanes(from, to, "file"), foldedLanes(from, to, "keras"));
  made.type = "button";
  made.dataset.row = from;
  made.dataset.to = to;
  return made;
}

function redraw(parts) {
  for (const old of list.children) nearness.unobserve(old);
  list.replaceChildren(...parts);
}

const elements = (from, to) => Array.from({ length: to - from }, (_, n) => elementOf(from + n));

function drawAll(isUnfolded) {
  const shown = shownRows();
  const parts = [];
  for (let i = 0; i < rows.length; ) {
    let end = i + 1;
    while (end < rows.length && shown[end] === shown[i]) end += 1;
    const isFold = !shown[i] && !isUnfolded && end - i >= SHORTEST_FOLD;
    parts.push(...(isFold ? [foldOf(i, end)] : elements(i, end)));
    i = end;
  }
  redraw(parts);
}

const unfold = (fold) => fold.replaceWith(...elements(Number(fold.dataset.row), Number(fold.dataset.to)));

// ---- Search and filter

const search = byId("search");
const filter = byId("filter");
const FILTERS = {
  differences: isRoot,
  diverging: isDiverging,
  ...Object.fromEntries(Object.keys(MARKS).map((state) => [state, (row) => row.state === state])),
};
const textOf = (row) =>
  [row.file?.index, row.file?.type, row.file?.name, row.keras?.type, row.keras?.layer, row.state].join(" ").toLowerCase();
let texts = null;

function offerFilters() {
  for (const [name, isWanted] of Object.entries(FILTERS)) {
    const count = rows.filter(isWanted).length;
    if (count) filter.append(new Option(`${name} (${count})`, name));
  }
}

const isNarrowed = () => Boolean(search.value.trim() || filter.value);

/** Draws what search and filter leave. */
function find() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  list.classList.toggle("narrowed", isNarrowed());
  if (isNarrowed()) {
    texts ??= rows.map(textOf);
    const isWanted = filter.value ? FILTERS[filter.value] : () => true;
    const hits = [...rows.keys()].filter((i) => isWanted(rows[i]) && words.every((word) => texts[i].includes(word)));
    redraw(hits.map(elementOf));
    byId("found").textContent = `${hits.length} of ${rows.length}`;
  } else {
    drawAll(false);
    byId("found").textContent = "";
  }
  root.dataset.found = list.querySelectorAll(".row").length;
  mark();
  follow();
}

function narrow(words, wanted) {
  search.value = words;
  filter.value = [...filter.options].some((option) => option.value === wanted) ? wanted : "";
  find();
}

function onNarrowed() {
  find();
  const wanted = Object.entries({ find: search.value, show: filter.value }).filter(([, value]) => value);
  address(`#${new URLSearchParams(wanted)}`);
}

// ---- Going somewhere

let current = -1;

function mark() {
  list.querySelector(".current")?.classList.remove("current");
  const element = current >= 0 && byId(rows[current].id);
  element && element.classList.add("current");
  const number = stops.filter((stop) => stop <= current).length;
  byId("position").textContent = stops.length ? `${number} of ${stops.length}` : "no difference";
  root.dataset.current = current >= 0 ? rows[current].id : "";
}

function show(i, isOpened) {
  current = i;
  if (!byId(rows[i].id) && isNarrowed()) narrow("", "");
  const fold = [...list.querySelectorAll(".fold")].find((one) => one.dataset.row <= i && i < one.dataset.to);
  if (fold) unfold(fold);
  const element = byId(rows[i].id);
  fill(element);
  if (isOpened) toggle(element, true);
  element.scrollIntoView({ block: isOpened ? "start" : "center" });
  mark();
  address(`#${rows[i].id}`);
}

function step(by) {
  const at = by > 0 ? stops.find((stop) => stop > current) : stops.findLast((stop) => stop < current);
  if (at !== undefined) show(at, false);
}

function address(hash) {
  try {
    history.replaceState(null, "", hash);
  } catch {
    // Inside a notebook the page has no address of its own.
  }
}

function go(hash) {
  const name = hash.slice(1);
  const wanted = new URLSearchParams(name);
  if (anchors.has(name)) show(anchors.get(name), true);
  else if (wanted.has("find") || wanted.has("show")) narrow(wanted.get("find") ?? "", wanted.get("show") ?? "");
}

// ---- The strip at the side: the whole graph, folded or not

const map = byId("map");
const BUCKETS = 400;

function drawMap() {
  const order = ["following", "unsure", "different", "missing", "extra"];
  const marks = new Map();
  rows.forEach((row, i) => {
    if (!isRoot(row) && row.state !== "following") return;
    const bucket = Math.round((i / rows.length) * BUCKETS);
    const known = marks.get(bucket);
    if (known === undefined || order.indexOf(row.state) > order.indexOf(rows[known].state)) marks.set(bucket, i);
  });
  for (const [bucket, i] of marks) {
    const row = rows[i];
    const made = make("a", `${row.state}${isAccepted(row) ? " accepted" : ""}${isDiverging(row) ? " diverging" : ""}`);
    made.href = `#${row.id}`;
    made.tabIndex = -1;
    made.style.top = `${(bucket / BUCKETS) * 100}%`;
    map.append(titled(made, `${row.state}: ${(row.file ?? row.keras).type}`));
  }
}

/** The part of the graph that is in sight. */
function follow() {
  const items = list.children;
  const first = (isReached) => {
    let [low, high] = [0, items.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (isReached(items[middle].getBoundingClientRect())) high = middle;
      else low = middle + 1;
    }
    return low;
  };
  const top = items[first((box) => box.bottom > 80)]?.dataset.row ?? rows.length;
  const bottom = items[first((box) => box.top > innerHeight)]?.dataset.row ?? rows.length;
  byId("window").style.top = `${(top / rows.length) * 100}%`;
  byId("window").style.height = `${Math.max(0, (bottom - top) / rows.length) * 100}%`;
}

// ---- Events

function perFrame(call) {
  let isWaiting = false;
  return () => {
    if (isWaiting) return;
    isWaiting = true;
    requestAnimationFrame(() => {
      isWaiting = false;
      call();
    });
  };
}

const KEYS = {
  j: () => step(1),
  k: () => step(-1),
  "/": () => search.focus(),
  f: () => filter.focus(),
  Enter: () => current >= 0 && byId(rows[current].id) && toggle(byId(rows[current].id)),
  Escape: () => {
    document.activeElement.blur();
    narrow("", "");
    if (current >= 0) show(current, false);
  },
};

function onKey(event) {
  const isTyping = event.target === search || event.target === filter;
  const isOther = event.target.closest?.("button, a, summary") && event.key === "Enter";
  if (event.ctrlKey || event.metaKey || event.altKey || isOther || !(event.key in KEYS)) return;
  if (isTyping && event.key !== "Escape") return;
  event.preventDefault();
  KEYS[event.key]();
}

function onListClick(event) {
  const fold = event.target.closest(".fold");
  const line = event.target.closest(".row > .line");
  if (fold) {
    unfold(fold);
    follow();
  } else if (line && !String(getSelection())) {
    current = Number(line.parentElement.dataset.row);
    toggle(line.parentElement);
    mark();
    address(`#${line.parentElement.id}`);
  }
}

function onMapClick(event) {
  if (event.target.closest("a")) return;
  const box = map.getBoundingClientRect();
  const at = Math.floor(((event.clientY - box.top) / box.height) * rows.length);
  show(Math.min(Math.max(at, 0), rows.length - 1), false);
}

async function copy(button) {
  const block = button.parentElement.querySelector("pre");
  getSelection().selectAllChildren(block);
  try {
    await navigator.clipboard.writeText(block.textContent);
    button.textContent = "copied";
  } catch {
    button.textContent = "selected";
  }
}

function setTheme(theme) {
  root.dataset.theme = theme;
  try {
    localStorage.setItem("tflrecover-theme", theme);
  } catch {
    // Inside a notebook nothing is stored.
  }
}

function startTheme() {
  let theme = null;
  try {
    theme = localStorage.getItem("tflrecover-theme");
  } catch {
    // As the system has it.
  }
  if (theme) root.dataset.theme = theme;
  byId("theme").addEventListener("click", () => {
    const isDark = (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
    setTheme(isDark ? "light" : "dark");
  });
}

function startGraph() {
  if (rows.some((row) => row.check)) byId("graph").classList.add("has-checks");
  for (const side of ["file", "keras"]) byId("graph").style.setProperty(`--${side}-lanes`, `${branches[side].width}px`);
  offerFilters();
  drawAll(false);
  drawMap();
  mark();
  search.addEventListener("input", perFrame(onNarrowed));
  filter.addEventListener("change", onNarrowed);
  byId("next").addEventListener("click", () => step(1));
  byId("previous").addEventListener("click", () => step(-1));
  byId("unfold").addEventListener("click", () => {
    drawAll(true);
    mark();
    follow();
  });
  list.addEventListener("click", onListClick);
  map.addEventListener("click", onMapClick);
  addEventListener("keydown", onKey);
  addEventListener("scroll", perFrame(follow), { passive: true });
  addEventListener("resize", perFrame(follow));
  addEventListener("hashchange", () => go(location.hash));
  follow();
  if (location.hash) go(location.hash);
}

document.addEventListener("click", (event) => {
  const anchor = event.target.closest("a[href^='#']");
  if (anchor) {
    // Inside a notebook the browser would look for the place in the notebook.
    event.preventDefault();
    go(anchor.getAttribute("href"));
  }
  if (event.target.matches(".copy")) copy(event.target);
});
startTheme();
// Not in one breath with reading the document.
setTimeout(() => {
  if (rows.length) startGraph();
  root.dataset.ready = rows.length;
});
