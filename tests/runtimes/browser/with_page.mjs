// Opens a page in a headless browser as wide and high as a phone's.

import {createRequire} from "node:module";
import path from "node:path";

const PHONE = {width: 412, height: 915};

// `packages` is a folder with node_modules, `use` gets the open page.
export async function withPage(packages, address, use) {
  // Not `import`: that would look beside this file.
  const require = createRequire(path.join(packages, "package.json"));
  const browser = await require("puppeteer-core").launch({
    executablePath: process.env.CHROMIUM,
    args: ["--no-sandbox", "--disable-gpu"],
    defaultViewport: PHONE,
  });
  try {
    const page = await browser.newPage();
    // Where to look if a test fails; LiteRT.js logs much as errors, too.
    page.on("console", (line) => console.error(line.text()));
    page.on("pageerror", (error) => console.error(error));
    await page.goto(address);
    return await use(page);
  } finally {
    await browser.close();
  }
}
