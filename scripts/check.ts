// `scripts/check`: types, lint, and the project's own rules; all three run even if one fails.

import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { checkProject, formatFinding } from './rules/project.ts'

const root = path.resolve(import.meta.dirname, '..')
const bin = (name: string): string => path.join(root, 'node_modules', '.bin', name)

function runTool(name: string, command: string, args: readonly string[]): boolean {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit' })
  if (error !== undefined) console.error(`check: ${name} does not run: ${error.message}`)
  return status === 0
}

// Both are started with this same Node: the one on the PATH may be too old for them.
const typesOk = runTool('tsc', process.execPath, [bin('tsc'), '-p', root])
const lintOk = runTool('oxlint', process.execPath, [bin('oxlint'), '--quiet', '.'])
const findings = await checkProject(root)
for (const finding of findings) console.error(formatFinding(finding))

const passed = typesOk && lintOk && findings.length === 0
console.error(passed ? 'check: passed' : 'check: failed')
process.exitCode = passed ? 0 : 1
