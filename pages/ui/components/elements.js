// ---- Document elements: the first script of every component that builds its own -------------------

function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value)
    else if (value !== null && value !== undefined) node.setAttribute(name, value)
  }
  node.append(...children)
  return node
}
