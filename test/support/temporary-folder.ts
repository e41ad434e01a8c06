// A folder of a test's own, gone when the test is over.

import { mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { Cleanup } from './server.ts'

/** Makes an empty folder and returns its path. */
export function temporaryFolder(t: Cleanup): string {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'sluice-files-'))
  t.after(async () => rmSync(folder, { recursive: true, force: true }))
  return folder
}
