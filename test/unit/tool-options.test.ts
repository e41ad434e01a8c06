// The project's own tools explain themselves, and say what they do not know.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { test } from 'node:test'

const ROOT = path.resolve(import.meta.dirname, '../..')

for (const tool of ['sim', 'victim', 'torture', 'fuzz']) {
  const run = (...args: string[]): { status: number | null; stdout: string; stderr: string } =>
    spawnSync(process.execPath,
      ['--disable-warning=ExperimentalWarning', path.join(ROOT, `test/${tool}/main.ts`), ...args],
      { encoding: 'utf8' })

  test(`npm run ${tool} -- --help, and what makes no sense`, () => {
    const help = run('--help')
    assert.deepEqual([help.status, help.stderr], [0, ''])
    assert.ok(help.stdout.startsWith(`npm run ${tool} -- [`))
    const wrong = run('--nonsense')
    assert.equal(wrong.status, 2)
    assert.ok(wrong.stderr.includes(`'--nonsense'`) && wrong.stderr.includes(help.stdout))
    assert.doesNotMatch(wrong.stderr, /\n\s+at /)
  })
}
