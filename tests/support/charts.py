"""Charts of a page in a real browser: which are shown, and whether something is on them."""

from typing import Final

from tests.support.browser import Window

_PAINTED: Final = """
return [...document.querySelectorAll("figure.chart:not([hidden])")].map((figure) => {
  const canvas = figure.querySelector("canvas");
  if (!canvas) return [figure.id, 0];
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", {willReadFrequently: true});
  copy.drawImage(canvas, 0, 0);
  const {data} = copy.getImageData(0, 0, canvas.width, canvas.height);
  let painted = 0;
  for (let i = 3; i < data.length; i += 4) painted += data[i] > 0;
  return [figure.id, painted];
})
"""


def painted(browser: Window) -> dict[str, int]:
    """How many pixels of each chart that is shown have colour; uPlot paints after it has been told, so wait for it."""
    return dict(browser.driver.execute_script(_PAINTED))
