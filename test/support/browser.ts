// A real browser, headless, for tests of pages.

import type { TestContext } from 'node:test'
import { type Page, chromium } from 'playwright-core'

/** The path of Chromium, or '' for none; scripts/test searches for it. */
const chromiumPath = process.env['CHROMIUM_PATH'] ?? ''

/** Why tests that need a browser are skipped; false when there is one. */
export const noBrowser: string | false =
  chromiumPath === '' ? 'no Chromium here; CHROMIUM_PATH says where one is' : false

/** Disables the browser's own network traffic. */
const ARGUMENTS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync',
  '--disable-background-networking', '--disable-component-update',
]

/** A page, and its errors and requests since it was opened. */
export interface WatchedPage {
  readonly page: Page
  /** Exceptions, and messages of errors and warnings. */
  readonly complaints: readonly string[]
  /** Requested addresses, including the page's own. */
  readonly requests: readonly string[]
}

/** Opens an address in a browser that is closed after the test. */
export async function openPage(
  t: TestContext, address: string, size: { readonly width: number; readonly height: number },
): Promise<WatchedPage> {
  const browser = await chromium.launch({ executablePath: chromiumPath, args: ARGUMENTS })
  t.after(() => browser.close())
  const page = await browser.newPage({ viewport: size })
  const complaints: string[] = []
  const requests: string[] = []
  page.on('pageerror', (error) => complaints.push(error.message))
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text())
  })
  page.on('request', (request) => requests.push(request.url()))
  await page.goto(address)
  return { page, complaints, requests }
}
