// Draws the diagrams of a page. Without a network the script does not come, and they stay the text that they are.
const diagrams = [...document.querySelectorAll("pre.mermaid")];
if (diagrams.length > 0) {
  try {
    const { default: mermaid } = await import("https://cdn.jsdelivr.net/npm/mermaid@11.12.0/dist/mermaid.esm.min.mjs");
    mermaid.initialize({ startOnLoad: false, securityLevel: "strict" });
    for (const [number, diagram] of diagrams.entries()) {
      const { svg } = await mermaid.render(`diagram-${number}`, diagram.textContent);
      const drawn = document.createElement("div");
      drawn.innerHTML = svg;
      diagram.replaceWith(drawn);
    }
  } catch (error) {
    console.info("diagrams stay text:", error.message);
  }
}
