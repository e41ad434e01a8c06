// `sluice submit` against a server that refuses, cuts and comes back, in virtual time.

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { framesOf } from '../../../../src/cli/client-socket.ts'
import { reconnectPauseMs } from '../../../../src/cli/connection.ts'
import {
  type JobLine, jobLines, LINE_BYTES_MAX, withFields,
} from '../../../../src/cli/job-lines.ts'
import { waitMs } from '../../../../src/cli/refusals.ts'
import { HOLDS_MAX, ranges, SubmitRun } from '../../../../src/cli/submit-run.ts'
import { FakeServer, type SentJob } from '../../../support/client-scene.ts'
import { SEED } from '../../../support/swarm.ts'

interface Ended {
  readonly isWell: boolean
  readonly lines: readonly string[]
  readonly said: readonly string[]
}

async function* linesOf(jobs: readonly object[]): AsyncIterable<JobLine> {
  for (const [at, job] of jobs.entries()) yield { number: at + 1, text: JSON.stringify(job) }
}

const keys = (count: number): object[] =>
  Array.from({ length: count }, (_, at) => ({ idempotent_key: `k${at + 1}` }))

async function submit(
  server: FakeServer, jobs: readonly object[], wait = false,
  lines: AsyncIterable<JobLine> = linesOf(jobs),
): Promise<Ended> {
  let stdout = ''
  const run = new SubmitRun({
    ...server.parts(SEED), wait, stdout: (text) => { stdout += text }, onProgress: () => {},
    nameOf: (line) => `line ${line}: `,
  })
  const isWell = await server.until(run.run(lines))
  return { isWell, lines: stdout.split('\n').slice(0, -1), said: server.said }
}

const accepted = ({ idempotent_key: key, ref }: SentJob): object => ({ ref, job_id: `id-${key}` })

describe('frames', () => {
  it('have as many items as the server takes, by count and by bytes', () => {
    assert.deepEqual(framesOf('watch', ['"a"', '"b"', '"c"'], 2, 1000),
      ['{"type":"watch","job_ids":["a","b"]}', '{"type":"watch","job_ids":["c"]}'])
    const body = 'é'.repeat(5000)
    const items = Array.from({ length: 3000 }, (_, at) => JSON.stringify({ at, body }))
    const frames = framesOf('enqueue', items, 1024, 65_536)
    for (const frame of frames) assert.ok(Buffer.byteLength(frame) <= 65_536)
    const sent = frames.flatMap((frame) =>
      (JSON.parse(frame) as { jobs: { at: number }[] }).jobs.map(({ at }) => at))
    assert.deepEqual(sent, items.map((_, at) => at))
    assert.ok(frames.length <= 600, `${frames.length} frames, six jobs in each`)
    assert.deepEqual(framesOf('enqueue', [], 10, 1000), [])
  })

  it('carry a job as it was written, with the sender\'s own fields behind', () => {
    assert.equal(withFields('{"a": 1.0}', '"ref":2'), '{"a": 1.0,"ref":2}')
    assert.equal(withFields('{ }', '"ref":2'), '{ "ref":2}')
  })
})

describe('waits', () => {
  it('have jitter, and never come short of what was asked for', () => {
    assert.deepEqual([waitMs(5, 0), waitMs(5, 0.5), waitMs(60, 1)], [5000, 6250, 90_000])
    assert.deepEqual([1, 2, 7, 16].map((attempt) => reconnectPauseMs(attempt, 0)),
      [50, 100, 2500, 2500])
    assert.deepEqual([1, 2, 7].map((attempt) => reconnectPauseMs(attempt, 1)), [100, 200, 5000])
  })
})

describe('lines', () => {
  const read = async (...chunks: (string | Uint8Array)[]): Promise<JobLine[]> => {
    const lines: JobLine[] = []
    async function* bytes(): AsyncIterable<Uint8Array> {
      for (const chunk of chunks) yield Buffer.from(chunk as string)
    }
    for await (const line of jobLines(bytes())) lines.push(line)
    return lines
  }

  it('are counted with those that are empty, whatever they end with', async () => {
    assert.deepEqual(await read('\n{"a"', ':1}\r\n  \n', '\n{"b":2}'),
      [{ number: 2, text: '{"a":1}' }, { number: 5, text: '{"b":2}' }])
    assert.deepEqual(await read('\ufeff{"a":1}\n'), [{ number: 1, text: '{"a":1}' }])
  })

  it('are refused, not changed, when they are no UTF-8', async () => {
    assert.deepEqual(await read('{"a":"é"}\n', Buffer.from('{"a":"é"}\n', 'latin1'), '{}'), [
      { number: 1, text: '{"a":"é"}' }, { number: 2, fault: 'the line is not UTF-8' },
      { number: 3, text: '{}' },
    ])
  })

  it('are refused when they are no object, or have no end', async () => {
    for (const text of ['nonsense', '[1]', '5', 'null', '{"a":1}{']) {
      assert.deepEqual(await read(text), [{ number: 1, fault: 'the line is not a JSON object' }])
    }
    const part = Buffer.alloc(LINE_BYTES_MAX / 4, 'x')
    const [long, next] = await read(part, part, part, part, 'x\n{}')
    assert.ok(long !== undefined && 'fault' in long && /more than \d+ bytes/.test(long.fault))
    assert.deepEqual(next, { number: 2, text: '{}' })
  })
})

describe('a run', () => {
  it('ends when a server with little room has refused for once', async () => {
    const server = new FakeServer()
    let room = 800
    const arrivalsMs: number[] = []
    server.onJobs = (link, jobs) => {
      arrivalsMs.push(server.time.nowUs() / 1000)
      link.answer(jobs.map((job) => room-- > 0 ? accepted(job) : {
        ref: job.ref, error: 'the limit of memory is reached', code: 'limit_reached',
        retry_after_s: 5,
      }))
      if (room < 0) server.time.at((server.time.nowUs() + 1) as never, () => { room = 800 })
    }
    const { isWell, lines, said } = await submit(server, keys(3000))
    assert.equal(isWell, true)
    assert.deepEqual(lines, keys(3000).map((_, at) => `id-k${at + 1}`))
    assert.equal(server.links.length, 1)
    const waits = arrivalsMs.slice(1).map((ms, at) => ms - (arrivalsMs[at] ?? 0))
    for (const wait of waits) assert.ok(wait === 0 || (wait >= 5000 && wait <= 7500), `${wait} ms`)
    assert.equal(said.length, 1)
    assert.match(said[0] ?? '',
      /^the server takes no more for now: the limit of memory is reached \(limit_reached\); going/)
  })

  it('asks a full server for one job at a time, and gives up after so many waits', async () => {
    const server = new FakeServer()
    const sizes: number[] = []
    server.onJobs = (link, jobs) => {
      sizes.push(jobs.length)
      link.answer(jobs.map(({ ref }) => ref === 2 ? { ref, job_id: 'two' } : {
        ref, error: 'The server is stopping and takes no new jobs.', code: 'draining',
        retry_after_s: 5,
      }))
    }
    const { isWell, lines, said } = await submit(server, keys(5))
    assert.equal(isWell, false)
    assert.deepEqual(lines, ['two'], 'what was accepted is printed')
    assert.deepEqual(sizes, [5, ...Array.from({ length: HOLDS_MAX + 1 }, () => 1)])
    assert.match(said[0] ?? '', /stopping and takes no new jobs \(draining\); going on in \d s/)
    assert.deepEqual(said.slice(1), [
      'the server takes no more jobs: The server is stopping and takes no new jobs (draining)',
      'without an answer: lines 1, 3-5',
    ])
  })

  it('refuses a job that no frame has room for, by its line', async () => {
    const server = new FakeServer()
    server.itemBytesMax = 100
    const jobs = [...keys(1), { idempotent_key: 'large', body: 'x'.repeat(100) }, ...keys(1)]
    const { isWell, lines, said } = await submit(server, jobs)
    assert.equal(isWell, false)
    assert.deepEqual(lines, ['id-k1', 'id-k1'])
    assert.deepEqual(said, ['line 2: the job takes 158 bytes, and on this connection the server ' +
      'takes at most 100'])
  })

  it('finds the job that breaks the connection, and leaves it out', async () => {
    const server = new FakeServer()
    server.onJobs = (link, jobs) => {
      if (jobs.some(({ ref }) => ref === 700)) return link.cut()
      link.answer(jobs.map(accepted))
    }
    const { isWell, lines, said } = await submit(server, keys(1000))
    assert.equal(isWell, false)
    assert.deepEqual(lines,
      keys(1000).map((_, at) => `id-k${at + 1}`).filter((id) => id !== 'id-k700'))
    const told = said.filter((line) => line.startsWith('line '))
    assert.deepEqual(told,
      ['line 700: the connection broke each time that this job was sent; it is left out'])
    const alone = said.length - told.length
    assert.ok(alone < 40, `${alone} cuts`)
  })

  it('blames no job for a server that says goodbye', async () => {
    const server = new FakeServer()
    server.onJobs = (link, jobs) => {
      if (server.links.length < 5) {
        link.cut({ reason: 'another process takes over; come again', isGoodbye: true })
      } else link.answer(jobs.map(accepted))
    }
    const { isWell, lines, said } = await submit(server, keys(1))
    assert.deepEqual([isWell, lines], [true, ['id-k1']])
    assert.equal(said[0], 'another process takes over; come again; connecting again')
  })

  it('pauses longer from one reconnect to the next, and gives up', async () => {
    const server = new FakeServer()
    server.onJobs = (link) => link.cut({ reason: 'going', isGoodbye: true })
    const { isWell, said } = await submit(server, keys(1))
    assert.equal(isWell, false)
    const pauses = server.openedMs.slice(1).map((ms, at) => ms - (server.openedMs[at] ?? 0))
    assert.equal(pauses.length, 16)
    for (const [at, pause] of pauses.entries()) {
      const most = Math.min(5000, 100 * 2 ** at)
      assert.ok(pause >= most / 2 && pause <= most, `pause ${at}: ${pause} ms`)
    }
    assert.deepEqual(said.slice(-2), ['going', 'without an answer: lines 1'])
  })

  it('ends at once when its key is revoked, and when it is refused as it comes back', async () => {
    const revoked = new FakeServer()
    revoked.onJobs = (link) => link.cut({ reason: 'the key has been revoked', isFinal: true })
    const { isWell, said } = await submit(revoked, keys(1), true)
    assert.deepEqual([isWell, said],
      [false, ['the key has been revoked', 'without an answer: lines 1']])
    assert.equal(revoked.openedMs.length, 1)

    const refusing = new FakeServer()
    refusing.isClosedForGood = true
    refusing.onJobs = (link) => {
      refusing.closed = 'the key is unknown'
      link.cut()
    }
    const ended = await submit(refusing, keys(1), true)
    assert.equal(ended.isWell, false)
    assert.deepEqual(ended.said, ['the connection broke; connecting again', 'the key is unknown',
      'without an answer: lines 1'])
    assert.equal(refusing.openedMs.length, 2)
  })

  it('does not wait for a server that was never there, nor for input that does not come',
    async () => {
      const server = new FakeServer()
      server.closed = 'cannot connect to the server'
      async function* never(): AsyncIterable<JobLine> {
        await new Promise(() => {})
        yield { number: 1, text: '{}' }
      }
      const { isWell, said } = await submit(server, [], false, never())
      assert.deepEqual([isWell, said], [false, ['cannot connect to the server']])
      assert.equal(server.openedMs.length, 1)
    })

  it('gives two lines with one key one result each', async () => {
    const server = new FakeServer()
    server.onJobs = (link, jobs) => {
      link.answer(jobs.map(({ ref, watch }, at) => {
        assert.equal(watch, true)
        return at === 0 ? { ref, job_id: 'one' }
          : { ref, job_id: 'one', duplicate: true, status: 'queued' }
      }))
      link.tell({ type: 'completed', job_id: 'one', status: 'completed', body: 'x' })
    }
    const { isWell, lines } = await submit(server, [...keys(1), ...keys(1)], true)
    assert.equal(isWell, true)
    assert.deepEqual(lines, [1, 2].map((line) =>
      JSON.stringify({ line, job_id: 'one', status: 'completed', body: 'x' })))
  })

  it('watches again after a cut, also what a shard could not show at once', async () => {
    const server = new FakeServer()
    let asked = 0
    server.onJobs = (link, jobs) => {
      link.answer(jobs.map(accepted))
      link.cut()
    }
    server.onWatch = (link, [jobId = '']) => {
      asked++
      if (asked === 1) {
        return link.tell({ type: 'error', job_id: jobId, error: 'down', code: 'shard_down',
          retry_after_s: 5 })
      }
      link.tell({ type: 'completed', job_id: jobId, status: 'completed' })
    }
    const { isWell, lines } = await submit(server, keys(1), true)
    assert.deepEqual([isWell, asked, lines.length], [true, 2, 1])
  })

  it('tells what it knows of each job when it ends early', async () => {
    const server = new FakeServer()
    server.onJobs = (link, [first, ...rest]) => {
      if (first === undefined) return
      link.answer([accepted(first)])
      assert.equal(rest.length, 2)
      server.closed = 'cannot connect to the server'
      link.cut()
    }
    const { isWell, lines, said } = await submit(server, keys(3), true)
    assert.equal(isWell, false)
    assert.deepEqual(lines.map((line) => JSON.parse(line) as unknown), [{
      line: 1, job_id: 'id-k1', status: 'unknown', error: 'cannot connect to the server',
    }])
    assert.equal(said.at(-1), 'without an answer: lines 2-3')
  })
})

it('names many lines by ranges', () => {
  assert.equal(ranges([1, 2, 3, 7, 9, 10]), '1-3, 7, 9-10')
  assert.equal(ranges([]), '')
})
