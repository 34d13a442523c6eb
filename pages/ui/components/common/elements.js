// ---- Document elements -------------------------------------------------------------

const SVG = "http://www.w3.org/2000/svg"

// An HTML element with attributes, listeners ("onclick": function) and children. Null attributes are left out.
function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value)
    else if (value !== null && value !== undefined) node.setAttribute(name, value)
  }
  node.append(...children)
  return node
}

function setAttributes(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value)
}

// An SVG element with attributes and children.
function svgElement(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag)
  setAttributes(node, attributes)
  node.append(...children)
  return node
}

// An icon of 24 by 24 units. markup: a constant of the calling script, never text from outside.
function svgIcon(markup) {
  const svg = svgElement("svg", { viewBox: "0 0 24 24", "aria-hidden": "true" })
  svg.innerHTML = markup
  return svg
}
