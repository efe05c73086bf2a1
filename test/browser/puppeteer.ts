import { after, before, type TestContext } from 'node:test'
import puppeteer, { type Browser, type BrowserContext, type LaunchOptions, type Page } from 'puppeteer-core'
import { provision } from '../support/provision.ts'
import { giveUpMs, until } from '../support/until.ts'

export type BrowserName = 'firefox' | 'chrome'

type BrowserOptions = Pick<LaunchOptions, 'acceptInsecureCerts'>

export interface OpenPages {
  /** Opens another tab of the same profile. */
  newPage(): Promise<Page>
  /** Faults of the pages so far: errors, violated policies, failed requests. */
  faults: string[]
}

/**
 * For what is to be held in Firefox, too, or needs the back-forward cache, which Playwright switches off. One browser
 * for all tests of a file, and a separate profile for each test.
 */
export function useBrowser(name: BrowserName, options: BrowserOptions = {}) {
  let browser: Browser
  before(async () => {
    browser = await launch(name, options)
  })
  after(() => browser.close())

  return async function openPagesOf(t: TestContext): Promise<OpenPages> {
    const context = await browser.createBrowserContext()
    t.after(() => context.close())
    return openPages(context)
  }
}

export function launch(name: BrowserName, options: BrowserOptions = {}): Promise<Browser> {
  const paths = provision()
  return puppeteer.launch({
    ...options,
    browser: name,
    executablePath: name === 'firefox' ? paths.firefox : paths.chromium,
    // As root, in containers and CI runners, Chromium's sandbox does not work.
    args: name === 'chrome' && process.getuid?.() === 0 ? ['--no-sandbox'] : [],
  })
}

export function openPages(context: BrowserContext): OpenPages {
  const faults: string[] = []
  return {
    faults,
    async newPage() {
      const page = await context.newPage()
      page.setDefaultTimeout(giveUpMs)
      page.on('pageerror', (error) => faults.push(`${error}`))
      page.on('console', (message) => {
        if (['error', 'warn'].includes(message.type())) faults.push(message.text())
      })
      return page
    },
  }
}

/**
 * Fills in the login page of the demo's issuer, once it is there. By a script, since tabs in the background draw no
 * frames, which Puppeteer would wait for.
 */
export async function fillIn(page: Page, user = 'alice'): Promise<void> {
  await until(() =>
    page.evaluate(`(() => {
      const form = document.querySelector('form')
      if (document.readyState !== 'complete' || !form?.username || !form.password) return false
      form.username.value = form.password.value = '${user}'
      setTimeout(() => form.requestSubmit(form.querySelector('button:not([name])')))
      return true
    })()`),
  )
}
