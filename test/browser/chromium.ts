import { after, before, type TestContext } from 'node:test'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { provision } from '../support/provision.ts'
import { giveUpMs } from '../support/until.ts'

export interface OpenPage {
  page: Page
  /** Faults of the page so far: errors, violated policies, failed requests. */
  faults: string[]
}

/** One Chromium for all tests of a file, and a separate profile for each test. */
export function useChromium() {
  let browser: Browser
  before(async () => {
    const executablePath = process.env['CHROMIUM_PATH'] || provision().chromium
    // As root, in containers and CI runners, its sandbox does not work.
    const args = process.getuid?.() === 0 ? ['--no-sandbox'] : []
    browser = await chromium.launch({ executablePath, args })
  })
  after(() => browser.close())

  return async function openPage(t: TestContext, options: BrowserContextOptions = {}): Promise<OpenPage> {
    const context = await browser.newContext(options)
    context.setDefaultTimeout(giveUpMs)
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
