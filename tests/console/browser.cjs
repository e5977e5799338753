// One page in headless Chromium, driven by lines of JSON on standard input; each is answered by one line on standard
// output: {"ok": …} or {"error": …}. `tests/suite/console/browser.rs` is the other side.
const { readFileSync } = require('node:fs');
const { createInterface } = require('node:readline');
const { chromium } = require('playwright-core');

const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const PATIENCE = 150_000;
const AT_ONCE = 20;

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
    if (page) {
      // An answer that is being replaced dies with its page, and this driver with it.
      await page.unrouteAll({ behavior: 'wait' });
      await page.context().close();
    }
    const context = await browser.newContext({
      viewport: { width, height }, colorScheme: theme, permissions: ['clipboard-read', 'clipboard-write'],
    });
    page = await context.newPage();
    // How far what was drawn moved without an input: the score of a shift is that of Cumulative Layout Shift. The list of
    // live calls moves by intention, until someone points at it; its rows may have left it before they are looked at.
    await page.addInitScript(() => {
      window.shifts = [];
      const isLive = ({ node }) => node ? (node.nodeType === 1 ? node : node.parentElement)?.closest('.live-rows') : location.hash.startsWith('#/live');
      new PerformanceObserver((list) => {
        for (const { hadRecentInput, value, sources } of list.getEntries()) {
          if (hadRecentInput || (sources.length > 0 && sources.every(isLive))) continue;
          window.shifts.push({ value, what: sources.map(({ node }) => node?.outerHTML?.slice(0, 80) ?? node?.textContent?.slice(0, 40)) });
        }
      }).observe({ type: 'layout-shift', buffered: true });
    });
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
    // Names that have room for fewer than twelve characters: in columns, or cut in a stacked row.
    short: () => page.evaluate(() => {
      const ruler = document.createElement('canvas').getContext('2d');
      const stacked = matchMedia('(max-width: 800px)').matches;
      return [...document.querySelectorAll('td.names, .stacks td.narrow-title')].filter((cell) => {
        const style = getComputedStyle(cell);
        ruler.font = style.font;
        const twelve = ruler.measureText('0'.repeat(12)).width;
        const inside = cell.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
        const value = cell.firstElementChild ?? cell;
        return stacked ? value.scrollWidth > value.clientWidth + 1 && value.clientWidth < twelve : inside < twelve;
      }).map((cell) => `${cell.dataset.label} has ${cell.clientWidth} px: ${cell.textContent.slice(0, 60)}`);
    }),
    // Waits for the next answer of a path.
    answered: ({ path }) => page.waitForResponse((response) => new URL(response.url()).pathname === path).then(() => null),
    shifts: () => page.evaluate(() => ({ sum: window.shifts.reduce((all, { value }) => all + value, 0), shifts: window.shifts.slice(0, 8) })),
    // Replaces the alarms of the node from now on.
    alarms: ({ alarms }) => page.route('**/api/status', async (route) => {
      const response = await route.fetch();
      await route.fulfill({ response, json: { ...await response.json(), alarms } });
    }),
    // What a pointer can use and Tab does not reach, from the top of the page until it leaves.
    unreached: async () => {
      await page.evaluate(() => {
        document.activeElement?.blur();
        const isSeen = (one) => one.checkVisibility({ visibilityProperty: true }) && !one.disabled;
        const controls = 'a[href], button, input, select, textarea, summary, [tabindex="0"]';
        window.controls = new Set([...document.querySelectorAll(controls)].filter(isSeen));
        window.left = 0;
        document.addEventListener('focusin', ({ target }) => window.controls.delete(target));
        document.addEventListener('focusout', ({ relatedTarget }) => { window.left += relatedTarget === null; });
      });
      // A row of the live list may have left it meanwhile, and taken the focus with it.
      const unreached = () => page.evaluate(() => [window.left, [...window.controls]
        .filter((one) => one.isConnected && !one.closest('.live-rows')).map((one) => one.outerHTML.slice(0, 200))]);
      for (let presses = 0; presses < 4_000; presses += AT_ONCE) {
        // The answer to a key takes longer than the key, so that they are not waited for one by one.
        await Promise.all(Array.from({ length: AT_ONCE }, () => page.keyboard.press('Tab')));
        const [left, missing] = await unreached();
        if (left > 2 || missing.length === 0) return missing;
      }
      return (await unreached())[1];
    },
    shot: ({ path }) => page.screenshot({ path }),
    expect: ({ error }) => { expected = error; },
    wrong: () => { const all = wrong; wrong = []; return all; },
    cookies: () => page.context().cookies(),
    axe: async () => {
      await page.evaluate(axe);
      // Rows of a list are alike, and a look at hundreds of them takes half a minute.
      const { violations } = await page.evaluate(() => window.axe.run({ exclude: ['tbody tr:nth-child(n+12)'] }));
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
