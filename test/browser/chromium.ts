import { after, before, type TestContext } from 'node:test'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { provision } from '../support/provision.ts'

export interface OpenPage {
  page: Page
  /** What went wrong on it so far: errors, violated policies, requests that failed. */
  faults: string[]
}

/** One Chromium for all tests of a file, and for each a profile of its own. */
export function useChromium() {
  let browser: Browser
  before(async () => {
    const executablePath = process.env['CHROMIUM_PATH'] || provision()
    // As root, in containers and CI runners, its sandbox can't be had.
    const args = process.getuid?.() === 0 ? ['--no-sandbox'] : []
    browser = await chromium.launch({ executablePath, args })
  })
  after(() => browser.close())

  return async function openPage(t: TestContext, options: BrowserContextOptions = {}): Promise<OpenPage> {
    const context = await browser.newContext(options)
    context.setDefaultTimeout(10_000)
    t.after(() => context.close())
    const page = await context.newPage()
    const faults: string[] = []
    page.on('pageerror', (error) => faults.push(`${error}`))
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) faults.push(message.text())
    })
    return { page, faults }
  }
}
