// Units as types: a raw number cannot be used as a time, a size or a slot by accident.
// Thread: any. Memory: none.
// Never: holds state.
// Time is kept in microseconds as a float64, monotonic since the machine's start: exact to a
// nanosecond for 104 days and to a microsecond for 285 years. Pace arithmetic keeps fractions.

/** Monotonic time or a duration, in microseconds. */
export type Micros = number & { readonly unit: 'us' }
/** Wall-clock time (Unix) or a duration, in milliseconds. */
export type Millis = number & { readonly unit: 'ms' }
/** A size in bytes. */
export type Bytes = number & { readonly unit: 'bytes' }
/** Requests per second. */
export type PerSecond = number & { readonly unit: 'per-second' }
/** A job's place in its shard's slot arrays. */
export type JobSlot = number & { readonly of: 'job' }
/** A lane's place in its shard's slot arrays. */
export type LaneSlot = number & { readonly of: 'lane' }
/** An upstream's (or webhook receiver's) place in the table that all shards share. */
export type UpstreamSlot = number & { readonly of: 'upstream' }
/** A template's place in its shard's template table. */
export type TemplateSlot = number & { readonly of: 'template' }
/** Where a record is in the job log: segment and offset, packed into 32 bits. */
export type Location = number & { readonly of: 'location' }

/** No slot, no location, end of a list: the largest unsigned 32-bit number. */
export const NONE = 0xffffffff

export const US_PER_MS = 1000
export const US_PER_SECOND = 1_000_000
export const KIB = 1024
export const MIB = 1024 * 1024

/** 1.5 ms → 1500 us. */
export const msToUs = (ms: number): Micros => (ms * US_PER_MS) as Micros

/** Rounds up to a power of two: 5 → 8, 8 → 8, 1 → 1. Takes 1 to 2^52. */
export function powerOfTwoAtLeast(value: number): number {
  let power = 1
  while (power < value) power *= 2
  return power
}

/** Rounds `value` up to a multiple of `step`, a power of two: (13, 8) → 16. */
export const alignUp = (value: number, step: number): number =>
  Math.ceil(value / step) * step
