// The machine and the version of a run, without which its figures mean nothing.

import { spawnSync } from 'node:child_process'
import os from 'node:os'
import path from 'node:path'
import { VERSION } from '../../src/base/version.ts'

/** Shown in every report. */
export interface RunFacts {
  readonly tool: 'sluice bench'
  readonly version: string
  /** Of the project's folder, with `+` when files differ from it; `unknown` outside of a clone. */
  readonly commit: string
  /** ISO 8601, UTC. */
  readonly date: string
  readonly cpu: string
  readonly cores: number
  readonly memoryBytes: number
  readonly node: string
  readonly platform: string
  /** The command line. */
  readonly command: string
}

/** @param args the arguments after `sluice`. */
export function runFacts(args: readonly string[]): RunFacts {
  return {
    tool: 'sluice bench', version: VERSION, commit: commit(), date: new Date().toISOString(),
    cpu: os.cpus()[0]?.model.trim() ?? 'unknown', cores: os.availableParallelism(),
    memoryBytes: os.totalmem(), node: process.version,
    platform: `${os.platform()} ${os.arch()} ${os.release()}`,
    command: ['sluice', ...args].join(' '),
  }
}

function commit(): string {
  const root = path.resolve(import.meta.dirname, '../..')
  const git = (...args: string[]): string | undefined => {
    const { status, stdout } = spawnSync('git', ['-C', root, ...args], { encoding: 'utf8' })
    return status === 0 ? stdout.trim() : undefined
  }
  const head = git('rev-parse', '--short=12', 'HEAD')
  if (head === undefined) return 'unknown'
  return git('status', '--porcelain', '--untracked-files=no') === '' ? head : `${head}+`
}

/** Main thread, one shard, generator: with fewer cores, they compete with each other. */
const CORES_APART = 3

/** Notes about the cores, if any. */
export function coreNotes({ cores }: RunFacts): readonly string[] {
  if (cores > CORES_APART) return []
  return [`The load generator, the upstream and the server share ${cores} ` +
    `${cores === 1 ? 'core' : 'cores'}: each takes processor time from the others, so absolute ` +
    'figures are lower than those of a server by itself.']
}
