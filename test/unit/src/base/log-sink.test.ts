// The log's lines on their way to a descriptor that fails, is full, or takes only a part.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, readdirSync, readlinkSync,
  renameSync, rmSync,
} from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { type TestContext, it } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { SystemClock } from '../../../../shards/base/clock.ts'
import { type Micros, msToUs } from '../../../../shards/base/units.ts'
import {
  LOG_RETRY_MS, LOG_WAITING_BYTES_MAX, LogSink, type WriteLog,
} from '../../../../src/base/log-sink.ts'
import { VirtualTime } from '../../../support/virtual-clock.ts'

type Done = Parameters<WriteLog>[2]

/** A descriptor whose every write waits for the test to say what becomes of it. */
function start() {
  const time = new VirtualTime()
  const writes: { text: string, done: Done }[] = []
  const resumed: number[] = []
  const sink = new LogSink({
    clock: time.clock(), onResumed: (dropped) => resumed.push(dropped),
    write: (_, bytes, done) => writes.push({ text: Buffer.from(bytes).toString(), done }),
  })
  return {
    resumed, sink,
    pass: (ms: number) => time.advanceTo((time.nowUs() + msToUs(ms)) as Micros),
    /** How many writes are under way: 0 or 1. */
    count: () => writes.length,
    /** Ends the write that is under way; all of it was taken unless a count or a code is said. */
    end: (outcome?: number | string): string => {
      assert.equal(writes.length, 1, 'one write at a time')
      const { done, text } = writes.shift() as { text: string, done: Done }
      if (typeof outcome === 'string') done(Object.assign(new Error(outcome), { code: outcome }), 0)
      else done(null, outcome ?? Buffer.byteLength(text))
      return text
    },
  }
}

it('writes lines in their order, those that have come meanwhile at once', async () => {
  const { count, end, sink } = start()
  sink.write('one\n')
  sink.write('two\n')
  sink.write('three\n')
  assert.equal(end(), 'one\n')
  assert.equal(end(2), 'two\nthree\n')
  assert.equal(end(), 'o\nthree\n')
  assert.equal(count(), 0)
  await sink.end()
  assert.deepEqual([sink.dropped, sink.trouble], [0, null])
})

for (const code of ['ENOSPC', 'EIO', 'EPIPE', 'EBADF']) {
  it(`drops and counts lines while writes fail with ${code}, and goes on by itself`, () => {
    const { count, end, pass, resumed, sink } = start()
    sink.write('one\n')
    sink.write('two\n')
    end(code)
    assert.deepEqual([sink.dropped, sink.trouble, count()], [2, code, 0])
    sink.write('three\n')
    assert.deepEqual([sink.dropped, count()], [3, 0])
    pass(LOG_RETRY_MS)
    sink.write('four\n')
    end(code)
    pass(LOG_RETRY_MS)
    sink.write('five\n')
    assert.equal(end(), 'five\n')
    assert.deepEqual([sink.dropped, sink.trouble, resumed], [4, null, [4]])
    sink.write('six\n')
    assert.equal(end(), 'six\n')
    assert.deepEqual(resumed, [4])
  })
}

it('begins a new line behind one that was written in part', () => {
  const { end, pass, sink } = start()
  sink.write('one\n')
  end(2)
  assert.equal(end('ENOSPC'), 'e\n')
  pass(LOG_RETRY_MS)
  sink.write('two\n')
  assert.equal(end(), '\ntwo\n')
  sink.write('three\n')
  assert.equal(end(), 'three\n')
})

it('waits for a reader without room, and holds no more for it than its bound', () => {
  const { count, end, pass, sink } = start()
  sink.write('first\n')
  end('EAGAIN')
  const line = `${'x'.repeat(1023)}\n`
  const fits = LOG_WAITING_BYTES_MAX / line.length
  for (let at = 0; at < fits + 10; at++) sink.write(line)
  assert.deepEqual([sink.dropped, sink.trouble, count()], [10, 'EAGAIN', 0])
  pass(1000)
  assert.equal(end(), 'first\n')
  let written = 0
  while (count() > 0) written += end().length
  assert.equal(written, LOG_WAITING_BYTES_MAX)
  assert.deepEqual([sink.dropped, sink.trouble], [10, null])
})

it('ends though the write that is under way never does', async () => {
  const { count, sink } = start()
  sink.write('one\n')
  await sink.end()
  assert.equal(count(), 1)
})

function fileFor(t: TestContext): string {
  const folder = mkdtempSync(path.join(os.tmpdir(), 'sluice-test-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return path.join(folder, 'sluice.log')
}

it('opens a file anew that was moved away, and loses no line of it', async (t) => {
  const file = fileFor(t)
  const sink = new LogSink({ clock: new SystemClock(), file })
  sink.write('one\n')
  renameSync(file, `${file}.1`)
  sink.write('two\n')
  assert.equal(sink.reopen(), true)
  sink.write('three\n')
  await sink.end()
  assert.equal(readFileSync(`${file}.1`, 'utf8') + readFileSync(file, 'utf8'), 'one\ntwo\nthree\n')
  assert.match(readFileSync(file, 'utf8'), /three/)
})

it('keeps no file open that was left behind, however often within one write', (t) => {
  const file = fileFor(t)
  const isOfIt = (fd: string): boolean => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === file
    } catch {
      return false // that of the folder's own reading
    }
  }
  const ends: (() => void)[] = []
  const sink = new LogSink({
    clock: new SystemClock(), file,
    write: (_, { length }, done) => ends.push(() => done(null, length)),
  })
  sink.write('one\n')
  for (let times = 0; times < 5; times++) sink.reopen()
  ends.shift()?.()
  assert.equal(readdirSync('/proc/self/fd').filter(isOfIt).length, 1)
})

it('refuses a pipe that nobody reads, and does not wait for one that is full', async (t) => {
  const file = fileFor(t)
  execFileSync('mkfifo', [file])
  assert.throws(() => new LogSink({ clock: new SystemClock(), file }), { code: 'ENXIO' })

  const reader = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK)
  t.after(() => closeSync(reader))
  const sink = new LogSink({ clock: new SystemClock(), file })
  const line = `${'x'.repeat(1023)}\n`
  for (let at = 0; at < 256; at++) sink.write(line)
  while (sink.trouble === null) await setImmediate()
  assert.equal(sink.trouble, 'EAGAIN')
  const read = Buffer.alloc(line.length)
  for (let bytes = 0; bytes < 256 * line.length;) {
    try {
      bytes += readSync(reader, read)
    } catch {
      await setImmediate() // it is empty; the rest comes
    }
  }
  await sink.end()
  assert.deepEqual([sink.dropped, sink.trouble], [0, null])
})

it('writes at once what waits when the process is about to end', (t) => {
  const file = fileFor(t)
  const sink = new LogSink({ clock: new SystemClock(), file, write: () => {} })
  sink.write('under way\n')
  sink.write('two\n')
  sink.write('three\n')
  sink.flush()
  assert.equal(readFileSync(file, 'utf8'), 'two\nthree\n')
})
