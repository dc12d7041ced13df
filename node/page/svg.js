// Shapes, and lines small enough to stand beside a number.

const SVG = "http://www.w3.org/2000/svg";

export function shape(kind, attributes, text) {
  const made = document.createElementNS(SVG, kind);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

const WIDE = 300, HIGH = 44;

/** A line of the last values from the left; `most` is the top unless the values are higher. */
export class Spark {
  constructor(label, points = 150) {
    this.points = points;
    this.area = shape("path", { class: "area" });
    this.line = shape("path", { class: "line", "vector-effect": "non-scaling-stroke" });
    this.element = shape("svg", { class: "spark", viewBox: `0 0 ${WIDE} ${HIGH}`, preserveAspectRatio: "none", role: "img", "aria-label": label });
    this.element.append(this.area, this.line);
  }

  draw(values, most = 0) {
    const top = Math.max(most, ...values, 1e-9) * 1.05;
    const x = (at) => (WIDE * (at + this.points - values.length)) / (this.points - 1);
    const y = (v) => HIGH - 2 - ((HIGH - 4) * v) / top;
    const path = values.map((v, at) => `${at ? "L" : "M"}${x(at).toFixed(1)} ${y(v).toFixed(1)}`).join("");
    this.line.setAttribute("d", path);
    this.area.setAttribute("d", values.length ? `${path}L${WIDE} ${HIGH}L${x(0).toFixed(1)} ${HIGH}Z` : "");
  }
}
