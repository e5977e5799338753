// One page in headless Chromium, driven by lines of JSON on standard input; each is answered by one line on standard
// output: {"ok": …} or {"error": …}. `tests/suite/console/browser.rs` is the other side.
const { readFileSync } = require('node:fs');
const { createInterface } = require('node:readline');
const { chromium } = require('playwright-core');

const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const PATIENCE = 60_000;

async function main() {
  const browser = await chromium.launch({
    executablePath: process.env.FOREBAY_CHROMIUM,
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
  });
  let page;
  // What a page must never cause: errors, broken rules of the content security policy, requests to other hosts.
  let wrong = [];
  let expected = null;

  const open = async ({ url, theme = 'light', width = 1280, height = 800 }) => {
    if (page) await page.context().close();
    const context = await browser.newContext({
      viewport: { width, height }, colorScheme: theme, permissions: ['clipboard-read', 'clipboard-write'],
    });
    page = await context.newPage();
    page.setDefaultTimeout(PATIENCE);
    const origin = new URL(url).origin;
    page.on('pageerror', (error) => wrong.push(String(error)));
    page.on('console', (message) => {
      if (message.type() === 'error' && !(expected && message.text().includes(expected))) wrong.push(message.text());
    });
    page.on('request', (request) => {
      if (new URL(request.url()).origin !== origin && !request.url().startsWith('data:')) wrong.push(`request to ${request.url()}`);
    });
    await page.goto(url);
  };

  const place = ({ role, name, text, label, css, exact = false }) => {
    if (css) return page.locator(css, text ? { hasText: text } : {}).first();
    if (label) return page.getByLabel(label, { exact }).first();
    if (role) return page.getByRole(role, { name, exact }).first();
    return page.getByText(text, { exact }).first();
  };

  const actions = {
    open,
    go: ({ hash }) => page.evaluate((to) => { window.location.hash = to; }, hash),
    reload: () => page.reload(),
    see: (what) => place(what).waitFor({ state: 'visible', timeout: what.within ?? PATIENCE }),
    gone: (what) => place(what).waitFor({ state: 'hidden', timeout: what.within ?? PATIENCE }),
    click: (what) => place(what).click(),
    fill: ({ value, ...what }) => place(what).fill(value),
    select: ({ value, ...what }) => place(what).selectOption(value),
    press: ({ key }) => page.keyboard.press(key),
    text: (what) => place(what).innerText(),
    texts: ({ css }) => page.locator(css).allInnerTexts(),
    enabled: (what) => place(what).isEnabled(),
    // What has the focus, as its accessible text.
    focused: () => page.evaluate(() => `${document.activeElement.tagName} ${document.activeElement.textContent.slice(0, 80)}`),
    size: (size) => page.setViewportSize(size),
    sideways: () => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth),
    // Elements that hold more than they show.
    cut: ({ css }) => page.evaluate((css) => [...document.querySelectorAll(css)]
      .filter((one) => one.scrollWidth > one.clientWidth + 1 && one.clientWidth > 0)
      .map((one) => one.outerHTML.slice(0, 200)), css),
    shot: ({ path }) => page.screenshot({ path }),
    expect: ({ error }) => { expected = error; },
    wrong: () => { const all = wrong; wrong = []; return all; },
    cookies: () => page.context().cookies(),
    axe: async () => {
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => window.axe.run());
      return violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((node) => node.html.slice(0, 200)).join(' | ')}`);
    },
  };

  for await (const line of createInterface({ input: process.stdin })) {
    const { act, ...what } = JSON.parse(line);
    let answer;
    try {
      answer = { ok: (await actions[act](what)) ?? null };
    } catch (error) {
      const seen = page ? await page.locator('body').innerText().catch(() => '') : '';
      answer = { error: `${act} ${JSON.stringify(what)}: ${String(error).slice(0, 600)}\nthe page says:\n${seen.slice(0, 3_000)}` };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
  await browser.close();
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exitCode = 1;
});
