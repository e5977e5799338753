// Screenshots and axe-core for every view: `node mock/shots.mjs OUTDIR [FILTER]`, a regular expression. Starts the mock, opens each view in light
// and dark, wide and narrow, and fails if axe finds something, the browser's console has an error, the page scrolls
// sideways, moves by more than 0.1 (CLS), cuts a name below 12 characters, or a request goes elsewhere. Needs Chromium (FOREBAY_CHROMIUM, default /usr/bin/chromium). FOREBAY_WIDTHS names
// other widths: 390,800,1024,1280,1920.
import { mkdir, readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { chromium } from 'playwright-core'
import { serve } from './server.mjs'

const [out = 'shots', filter = ''] = process.argv.slice(2)
const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const DAY = Date.now() - Date.now() % 86_400_000 - 86_400_000

// Name, scenario, address, and what to do before the picture.
const VIEWS = [
  ['live', 'calm', 'live', (page) => page.locator('.live-table tbody tr').nth(5).waitFor()],
  ['live-detail', 'calm', 'live', (page) => page.locator('.live-table .row-button', { hasText: 'Order Completed' }).first().click()],
  ['live-rejected', 'calm', 'live', (page) => page.locator('.live-table .row-button', { hasText: 'has no event' }).first().click()],
  ['live-busy', 'busy', 'live', async (page) => { await page.getByText('Sampled').waitFor(); await page.locator('.live-table .row-button').nth(3).focus(); await page.locator('.pill').waitFor() }],
  ['live-outage', 'outage', 'live', (page) => page.locator('.live-table tbody tr').nth(5).waitFor()],
  ['live-masked', 'masked', 'live', (page) => page.locator('.live-table .row-button', { hasText: 'Order Completed' }).first().click()],
  ['live-refused', 'refused', 'live', (page) => page.locator('.refused').waitFor()],
  ['live-refused-all', 'refused', 'live', async (page) => { await page.getByRole('button', { name: 'What to change' }).click(); await page.locator('.refused-group').nth(3).waitFor() }],
  ...[['live-found', 'calm', 'user-42', '.found'], ['live-found-denied', 'denied', 'user-42', '.found'], ['live-not-found', 'refused', 'nobody', '.refused-list']].map(([name, scenario, value, css]) =>
    [name, scenario, 'live', async (page) => { await page.getByRole('button', { name: 'Find a call' }).click(); await page.locator('#find-value').fill(value); await page.keyboard.press('Enter'); await page.locator(css).waitFor() }]),
  ['live-empty', 'empty', 'live', (page) => page.locator('.empty pre').waitFor()],
  ['live-off', 'off', 'live', (page) => page.locator('.empty').waitFor()],
  ['sources', 'calm', 'sources', (page) => page.locator('.spark-line').first().waitFor()],
  ['sources-many', 'many', 'sources', (page) => page.locator('.table tbody tr').nth(150).waitFor()],
  ['sources-empty', 'empty', 'sources', (page) => page.locator('.point-here pre').waitFor()],
  ['source', 'calm', 'sources/checkout-web', (page) => page.locator('.bar').first().waitFor()],
  ['source-objects', 'calm', 'sources/crm-sync', (page) => page.locator('.point-here pre').waitFor()],
  ['source-outage', 'outage', 'sources/billing-service-eu-central-1-production', (page) => page.locator('.source-why').waitFor()],
  ['deliveries', 'calm', 'deliveries', (page) => page.locator('.table tbody tr').nth(5).waitFor()],
  ['deliveries-detail', 'calm', 'deliveries', (page) => page.locator('.row-button').nth(1).click()],
  ['deliveries-outage', 'outage', 'deliveries', async (page) => { await page.getByRole('button', { name: 'Flush now' }).click(); await page.getByText('still waiting').waitFor() }],
  ['deliveries-empty', 'empty', 'deliveries', (page) => page.locator('.empty').waitFor()],
  ['deliveries-read', 'read', 'deliveries', (page) => page.locator('.table tbody tr').nth(5).waitFor()],
  ['archive', 'calm', 'archive', (page) => page.locator('.table tbody tr').nth(5).waitFor()],
  ['archive-outage', 'outage', 'archive', (page) => page.locator('.table tbody tr').nth(5).waitFor()],
  ['archive-day', 'calm', `archive/checkout-web/${DAY}`, async (page) => { await page.locator('.row-button').nth(1).click(); await page.locator('.peek').waitFor() }],
  ['archive-denied', 'denied', `archive/checkout-web/${DAY}`, async (page) => { await page.getByRole('button', { name: 'The bucket' }).click(); await page.locator('.denied').waitFor() }],
  ['archive-empty', 'empty', 'archive', (page) => page.locator('.empty').waitFor()],
  ['imports', 'calm', 'imports', (page) => page.locator('.row-button', { hasText: 'orders-2019' }).click()],
  ['imports-retried', 'calm', 'imports', (page) => page.locator('.row-button', { hasText: 'track_spring_2024' }).nth(1).click()],
  ['imports-bucket', 'calm', 'imports', (page) => page.locator('.row-button').first().click()],
  ['imports-outage', 'outage', 'imports', (page) => page.locator('.row-button').nth(1).click()],
  ...['clicks', 'invoices', 'profiles'].map((name) => [`imports-${name}`, 'calm', 'imports', (page) => page.locator('.row-button', { hasText: name }).click()]),
  ...['orders', 'clicks', 'invoices'].map((name) => [`imports-${name}-outage`, 'outage', 'imports', (page) => page.locator('.row-button', { hasText: name }).first().click()]),
  ['imports-young', 'young', 'imports', (page) => page.locator('.row-button').first().click()],
  ['destinations-young', 'young', 'destinations', (page) => page.locator('.row-button').nth(5).waitFor()],
  ['sources-young', 'young', 'sources', (page) => page.locator('.spark-line').first().waitFor()],
  ['deliveries-restless', 'restless', 'deliveries', async (page) => { await page.locator('.held tbody tr').nth(2).hover(); await page.locator('.held .pill').waitFor() }],
  ['imports-empty', 'empty', 'imports', (page) => page.locator('.empty').waitFor()],
  ['destinations', 'calm', 'destinations', (page) => page.locator('.row-button').nth(5).waitFor()],
  ['destinations-failed', 'calm', 'destinations', (page) => page.locator('tr', { hasText: 'Execution Error' }).locator('.row-button').first().click()],
  ['destinations-outage', 'outage', 'destinations/crm', (page) => page.locator('.source-why').waitFor()],
  ['destinations-masked', 'masked', 'destinations', (page) => page.locator('tr', { hasText: 'Execution Error' }).locator('.row-button').first().click()],
  ['destinations-empty', 'empty', 'destinations', (page) => page.locator('.empty pre').waitFor()],
  ['partitions', 'writer', 'partitions', (page) => page.locator('.line').nth(5).waitFor()],
  ['partitions-trouble', 'writer-trouble', 'partitions', (page) => page.locator('.line').nth(5).waitFor()],
  ['partitions-detail', 'writer-trouble', 'partitions/6', (page) => page.locator('.side .facts').waitFor()],
  ['partitions-collector', 'collector', 'partitions', (page) => page.locator('.cells li').nth(5).waitFor()],
  ['partitions-collector-trouble', 'collector-trouble', 'partitions', (page) => page.locator('.cells .silent').first().waitFor()],
  ...['writer', 'collector'].flatMap((role) => [
    [`kafka-${role}-sources`, role, 'sources', (page) => page.locator('.table tbody tr').nth(3).waitFor()],
    [`kafka-${role}-source`, role, 'sources/checkout-web', (page) => page.locator('.stats').first().waitFor()],
    [`kafka-${role}-health`, role, 'health', (page) => page.locator('.config tbody tr').nth(5).waitFor()]
  ]),
  ['health', 'calm', 'health', (page) => page.locator('.config tbody tr').nth(5).waitFor()],
  ['health-outage', 'outage', 'health', (page) => page.locator('.config tbody tr').nth(5).waitFor()],
  ['health-unbalanced', 'unbalanced', 'health', (page) => page.locator('.equation-off').waitFor()],
  ['login', 'token', 'live', async (page) => { await page.getByLabel('Token').fill('wrong'); await page.getByRole('button', { name: 'Sign in' }).click(); await page.getByText('does not know this token').waitFor() }],
  ['dead', 'dead', 'sources', (page) => page.locator('.banner').waitFor({ timeout: 10_000 })]
]
const WIDTHS = process.env.FOREBAY_WIDTHS
  ? process.env.FOREBAY_WIDTHS.split(',').map((width) => [width, Number(width), 844])
  : [['wide', 1280, 800], ['narrow', 390, 844]]

await mkdir(out, { recursive: true })
const server = await serve()
const origin = `http://127.0.0.1:${server.address().port}`
const browser = await chromium.launch({ executablePath: process.env.FOREBAY_CHROMIUM ?? '/usr/bin/chromium', args: ['--headless', '--no-sandbox', '--disable-gpu'] })
let failed = 0

async function shoot ([name, scenario, hash, act], theme, [width, w, h]) {
  const title = `${name}-${width}-${theme}`
  if (!new RegExp(filter).test(title)) return
  const context = await browser.newContext({ viewport: { width: w, height: h }, colorScheme: theme })
  const page = await context.newPage()
  await page.addInitScript(() => {
    window.shifts = []
    const isLive = ({ node }) => node ? (node.nodeType === 1 ? node : node.parentElement)?.closest('.live-rows') : location.hash.startsWith('#/live')
    new PerformanceObserver((list) => {
      for (const { hadRecentInput, value, sources } of list.getEntries()) {
        if (!hadRecentInput && !(sources.length > 0 && sources.every(isLive))) window.shifts.push({ value, what: sources.map(({ node }) => node?.outerHTML?.slice(0, 90) ?? node?.textContent?.slice(0, 40)) })
      }
    }).observe({ type: 'layout-shift', buffered: true })
  })
  const wrong = []
  page.on('pageerror', (error) => wrong.push(String(error)))
  // A refused token and a dead node are network errors by intention.
  page.on('console', (message) => message.type() === 'error' && !(/Failed to load resource/.test(message.text()) && ['login', 'dead'].includes(name)) && wrong.push(message.text()))
  page.on('request', (request) => !request.url().startsWith(origin) && wrong.push(`request to ${request.url()}`))
  try {
    await page.goto(`${origin}/?scenario=${scenario}#/${hash}`)
    await act(page)
    // The second answers are there: what moves has moved.
    await page.waitForTimeout(300)
    if (name !== 'dead') await page.waitForResponse((response) => response.url().endsWith('/api/status')).catch(() => null)
    const shifts = await page.evaluate(() => window.shifts)
    const moved = shifts.reduce((all, { value }) => all + value, 0)
    if (moved > 0.1) wrong.push(`moves by ${moved.toFixed(3)}: ${JSON.stringify(shifts.slice(0, 6))}`)
    await page.screenshot({ path: `${out}/${title}.png` })
    const whole = await page.evaluate(() => Math.max(...[...document.querySelectorAll('main')].map((main) => main.scrollHeight)))
    if (whole > h && !name.startsWith('live')) {
      await page.setViewportSize({ width: w, height: Math.min(whole + 130, 2_600) })
      await page.screenshot({ path: `${out}/${title}-whole.png` })
      await page.setViewportSize({ width: w, height: h })
    }
    const sideways = await page.evaluate(() => [...document.querySelectorAll('main, body')].filter((one) => one.scrollWidth > one.clientWidth + 1).length)
    if (sideways) wrong.push('scrolls sideways')
    const short = await page.evaluate(() => {
      const ruler = document.createElement('canvas').getContext('2d')
      const stacked = matchMedia('(max-width: 800px)').matches
      return [...document.querySelectorAll('td.names, .stacks td.narrow-title')].filter((cell) => {
        const style = getComputedStyle(cell)
        ruler.font = style.font
        const twelve = ruler.measureText('0'.repeat(12)).width
        const inside = cell.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight)
        const value = cell.firstElementChild ?? cell
        return stacked ? value.scrollWidth > value.clientWidth + 1 && value.clientWidth < twelve : inside < twelve
      }).slice(0, 4).map((cell) => `${cell.dataset.label} ${cell.clientWidth} px: ${cell.textContent.slice(0, 40)}`)
    })
    if (short.length) wrong.push(`short names: ${short.join(' | ')}`)
    await page.evaluate(axe)
    const { violations } = await page.evaluate(() => window.axe.run())
    for (const { id, help, nodes } of violations) wrong.push(`axe ${id}: ${help}: ${nodes.slice(0, 3).map((node) => `${node.html.slice(0, 140)} (${node.any[0]?.message ?? ''})`).join(' | ')}`)
  } catch (error) {
    wrong.push(String(error).slice(0, 400))
    await page.screenshot({ path: `${out}/${title}.png` })
  }
  await context.close()
  failed += wrong.length
  console.log(`${wrong.length ? 'FAIL' : 'ok  '} ${title}${wrong.map((one) => `\n     ${one}`).join('')}`)
}

for (const view of VIEWS) for (const theme of ['light', 'dark']) for (const width of WIDTHS) await shoot(view, theme, width)
await browser.close()
server.closeAllConnections()
server.close()
process.exitCode = failed ? 1 : 0
