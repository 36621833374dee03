// A line over the last few minutes, as SVG.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 120;
const HEIGHT = 32;

/** A line with a name; `draw(values)` shows numbers, oldest first, against the greatest of them or `top`. */
export function trend(label, { n, top = 0 } = {}) {
  const svg = document.createElementNS(SVG, "svg");
  const area = svg.appendChild(document.createElementNS(SVG, "path"));
  const line = svg.appendChild(document.createElementNS(SVG, "path"));
  for (const [name, value] of Object.entries({ class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label })) {
    svg.setAttribute(name, value);
  }
  area.setAttribute("class", "area");
  line.setAttribute("class", "line");
  return {
    node: svg,
    draw(values, said) {
      const most = Math.max(top, ...values) || 1;
      const step = WIDTH / (n - 1);
      // The latest is at the end, however few there are.
      const x = (i) => WIDTH - (values.length - 1 - i) * step;
      const points = values.map((value, i) => `${x(i).toFixed(1)} ${(HEIGHT - 1.5 - (value / most) * (HEIGHT - 4)).toFixed(1)}`);
      line.setAttribute("d", points.length ? `M${points.join("L")}` : "");
      area.setAttribute("d", points.length ? `M${x(0).toFixed(1)} ${HEIGHT}L${points.join("L")}L${WIDTH} ${HEIGHT}Z` : "");
      svg.setAttribute("aria-label", `${label}: ${said}`);
    },
  };
}
