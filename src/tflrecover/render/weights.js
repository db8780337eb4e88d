// ---- Weights of one operator: figures and histograms

// Of thousands of weights hardly any is looked at: they are parsed when the first one is.
let weights = null;

const BAR = 7;
const HIGHEST = 35;

/** The file's histogram upwards, the model's downwards, over the same bins. */
function histogramOf({ ends, file, keras }) {
  const bars = (side, distribution, top) =>
    [...(distribution?.[0] ?? "")].map((digit, bin) => {
      const height = parseInt(digit, 36);
      return drawn("rect", { class: side, x: bin * BAR, y: top(height), width: BAR - 1, height });
    });
  const width = keras[0].length * BAR;
  return make(
    "div",
    "histogram",
    drawn(
      "svg",
      { width, height: 2 * HIGHEST + 1, role: "img", "aria-label": "histograms: the file's above, the model's below" },
      ...bars("file", file, (height) => HIGHEST - height),
      drawn("path", { d: `M0 ${HIGHEST + 0.5}H${width}` }),
      ...bars("keras", keras, () => HIGHEST + 1),
    ),
    make("div", "ends", make("span", "", ends[0]), make("span", "", ends[1])),
  );
}

function spanning(cell) {
  cell.rowSpan = 2;
  return cell;
}

function weightsOf(row) {
  if (!row.weights) return null;
  weights ??= JSON.parse(byId("weights").textContent);
  const figures = ["min", "max", "mean", "std"];
  const made = make("table", "weights", make("tr", "", ...["weight", "", "", ...figures].map((name) => make("th", "", name))));
  const cells = (side, distribution) => [
    make("td", side, side === "file" ? "file" : "Keras"),
    ...figures.map((_, at) => make("td", "", distribution?.[at + 1] ?? "–")),
  ];
  for (const weight of row.weights.map((number) => weights[number])) {
    const { variable, type, sampled, file, keras } = weight;
    const name = spanning(make("td", "", make("b", "", variable), make("div", "quiet", type), sampled && make("div", "quiet", sampled)));
    made.append(make("tr", "", name, spanning(make("td", "", histogramOf(weight))), ...cells("file", file)));
    made.append(make("tr", "", ...cells("keras", keras)));
  }
  return made;
}
