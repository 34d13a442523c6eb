// ---- Theme -------------------------------------------------------------------------

// Any CSS colour as [r, g, b]: the browser paints one pixel, so that all notations are understood.
const onePixel = document.createElement("canvas").getContext("2d", { willReadFrequently: true })
function rgbOf(colour) {
  onePixel.fillStyle = "#fff"
  onePixel.fillRect(0, 0, 1, 1)
  onePixel.fillStyle = colour
  onePixel.fillRect(0, 0, 1, 1)
  return [...onePixel.getImageData(0, 0, 1, 1).data.slice(0, 3)]
}

// The colour in a CSS variable, as [r, g, b]; `otherwise` where the variable is not set.
const variableColour = (node, name, otherwise = "#fff") =>
  rgbOf(getComputedStyle(node).getPropertyValue(name).trim() || otherwise)

// Sets data-theme, on which the style sheets choose their colours, by the background that the app's theme gives.
// Returns whether the theme is dark.
function applyTheme(root) {
  const [r, g, b] = variableColour(root, "--st-background-color")
  const dark = 0.2126 * r + 0.7152 * g + 0.0722 * b < 128
  root.dataset.theme = dark ? "dark" : "light"
  return dark
}
