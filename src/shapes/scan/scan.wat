;; Finds the key and the body of a job in its JSON text (json-scanner.ts says what for), and
;; compares the text around the two (shape-texts.ts), sixteen bytes at a time. `npm run wasm`
;; generates module.ts from this file.
;;
;; Memory, as job-text.ts lays it out:
;;     0 …  63  the result of scan(): words, in the order of json-scanner.ts
;;    64 … 319  by the byte after a backslash, the byte that it stands for; 0: left to the parser
;;   320 …      the text; then the unescaped body; then the text around the holes of known shapes
;; Each region has 32 bytes more than it needs, since up to so many are read behind a text's end and
;; written behind a body's. Offsets in the text are relative to its first byte, hence the offset=320
;; of loads.
(module
  (import "text" "memory" (memory 1))

  (data (i32.const 98) "\"")
  (data (i32.const 111) "/")
  (data (i32.const 156) "\\")
  (data (i32.const 162) "\08")
  (data (i32.const 166) "\0c")
  (data (i32.const 174) "\n")
  (data (i32.const 178) "\r")
  (data (i32.const 180) "\t")

  ;; Results of the last $string: how many bytes it wrote, and whether any is non-ASCII.
  (global $written (mut i32) (i32.const 0))
  (global $beyondAscii (mut i32) (i32.const 0))

  ;; Whether idempotent_key": is at an offset, or body": if $ofBody is set. Names are searched
  ;; without their opening quote, since quotes are frequent.
  (func $isName (param $at i32) (param $ofBody i32) (result i32)
    (if (result i32) (local.get $ofBody)
      (then (i32.and
        (i32.eq (i32.load offset=320 (local.get $at)) (i32.const 0x79646f62))
        (i32.eq (i32.load16_u offset=324 (local.get $at)) (i32.const 0x3a22))))
      (else (i8x16.all_true (i8x16.eq
        (v128.load offset=320 (local.get $at))
        (v128.const i8x16 0x69 0x64 0x65 0x6d 0x70 0x6f 0x74 0x65
                          0x6e 0x74 0x5f 0x6b 0x65 0x79 0x22 0x3a))))))

  ;; The first offset of a name, or -1. Candidates are the offsets of its first two bytes.
  (func $search (param $length i32) (param $ofBody i32) (result i32)
    (local $block i32) (local $candidates i32) (local $at i32)
    (local $first v128) (local $second v128)
    (local.set $first (i8x16.splat
      (select (i32.const 0x62) (i32.const 0x69) (local.get $ofBody))))
    (local.set $second (i8x16.splat
      (select (i32.const 0x6f) (i32.const 0x64) (local.get $ofBody))))
    (loop $blocks
      (local.set $candidates (i8x16.bitmask (v128.and
        (i8x16.eq (v128.load offset=320 (local.get $block)) (local.get $first))
        (i8x16.eq (v128.load offset=321 (local.get $block)) (local.get $second)))))
      (block $none (loop $each
        (br_if $none (i32.eqz (local.get $candidates)))
        (local.set $at (i32.add (local.get $block) (i32.ctz (local.get $candidates))))
        (br_if $none (i32.gt_s
          (i32.add (local.get $at) (select (i32.const 6) (i32.const 16) (local.get $ofBody)))
          (local.get $length)))
        (if (call $isName (local.get $at) (local.get $ofBody))
          (then (return (local.get $at))))
        (local.set $candidates
          (i32.and (local.get $candidates) (i32.sub (local.get $candidates) (i32.const 1))))
        (br $each)))
      (local.set $block (i32.add (local.get $block) (i32.const 16)))
      (br_if $blocks (i32.lt_s (local.get $block) (local.get $length))))
    (i32.const -1))

  ;; The offset of a name: the guess if it is right, else the first; -1 for none. A guess of 0 is
  ;; ignored.
  (func $find (param $guess i32) (param $length i32) (param $ofBody i32) (result i32)
    (if (i32.and (i32.gt_s (local.get $guess) (i32.const 0))
          (i32.lt_s (i32.add (local.get $guess) (i32.const 16)) (local.get $length)))
      (then (if (call $isName (local.get $guess) (local.get $ofBody))
        (then (return (local.get $guess))))))
    (call $search (local.get $length) (local.get $ofBody)))

  ;; The start of the content of the string that follows a name at $at … $behind; -1 when the name
  ;; is not quoted, or when no string follows.
  (func $contentAt (param $at i32) (param $behind i32) (param $length i32) (result i32)
    (if (i32.lt_s (local.get $at) (i32.const 1)) (then (return (i32.const -1))))
    (if (i32.ne (i32.load8_u offset=319 (local.get $at)) (i32.const 0x22))
      (then (return (i32.const -1))))
    (block $end (loop $blanks
      (br_if $end (i32.ne (i32.load8_u offset=320 (local.get $behind)) (i32.const 0x20)))
      (local.set $behind (i32.add (local.get $behind) (i32.const 1)))
      (br $blanks)))
    (if (i32.or (i32.ge_s (local.get $behind) (local.get $length))
          (i32.ne (i32.load8_u offset=320 (local.get $behind)) (i32.const 0x22)))
      (then (return (i32.const -1))))
    (i32.add (local.get $behind) (i32.const 1)))

  ;; Writes a string's unescaped content to $target, and returns the offset of its closing quote;
  ;; -1 when it has an escape that is not in the table, a control character, or no end. Blocks are
  ;; written whole, and cut at a special byte.
  (func $string (param $at i32) (param $target i32) (param $length i32) (result i32)
    (local $block v128) (local $special i32) (local $plain i32) (local $byte i32)
    (local $to i32) (local $beyond i32)
    (local.set $to (local.get $target))
    (block $end (loop $next
      (local.set $block (v128.load offset=320 (local.get $at)))
      (v128.store (local.get $to) (local.get $block))
      (local.set $special (i8x16.bitmask (v128.or (v128.or
        (i8x16.eq (local.get $block) (i8x16.splat (i32.const 0x22)))
        (i8x16.eq (local.get $block) (i8x16.splat (i32.const 0x5c))))
        (i8x16.eq (local.get $block)
          (i8x16.min_u (local.get $block) (i8x16.splat (i32.const 0x1f)))))))
      (if (i32.eqz (local.get $special)) (then
        (local.set $beyond
          (i32.or (local.get $beyond) (i8x16.bitmask (local.get $block))))
        (local.set $at (i32.add (local.get $at) (i32.const 16)))
        (local.set $to (i32.add (local.get $to) (i32.const 16)))
        (br $next)))
      (local.set $plain (i32.ctz (local.get $special)))
      (local.set $beyond (i32.or (local.get $beyond)
        (i32.and (i8x16.bitmask (local.get $block))
          (i32.sub (i32.shl (i32.const 1) (local.get $plain)) (i32.const 1)))))
      (local.set $at (i32.add (local.get $at) (local.get $plain)))
      (local.set $to (i32.add (local.get $to) (local.get $plain)))
      (if (i32.ge_s (local.get $at) (local.get $length)) (then (return (i32.const -1))))
      (local.set $byte (i32.load8_u offset=320 (local.get $at)))
      (br_if $end (i32.eq (local.get $byte) (i32.const 0x22)))
      (if (i32.or (i32.ne (local.get $byte) (i32.const 0x5c))
            (i32.ge_s (i32.add (local.get $at) (i32.const 1)) (local.get $length)))
        (then (return (i32.const -1))))
      (local.set $byte (i32.load8_u offset=64 (i32.load8_u offset=321 (local.get $at))))
      (if (i32.eqz (local.get $byte)) (then (return (i32.const -1))))
      (i32.store8 (local.get $to) (local.get $byte))
      (local.set $at (i32.add (local.get $at) (i32.const 2)))
      (local.set $to (i32.add (local.get $to) (i32.const 1)))
      (br $next)))
    (global.set $written (i32.sub (local.get $to) (local.get $target)))
    (global.set $beyondAscii (local.get $beyond))
    (local.get $at))

  ;; One step of a hash: a word is absorbed by a multiplication, and the upper half, which is mixed
  ;; better, is folded into the lower.
  (func $absorb (param $hash i64) (param $word i64) (result i64)
    (local.set $hash (i64.mul (i64.xor (local.get $hash) (local.get $word))
      (i64.const 0x9e3779b97f4a7c15)))
    (i64.xor (local.get $hash) (i64.shr_u (local.get $hash) (i64.const 32))))

  ;; Continues a hash over a span, whose length is part of it. Every other word goes into a second
  ;; hash, so that one multiplication need not wait for its predecessor.
  (func $hash (param $before i64) (param $at i32) (param $end i32) (result i64)
    (local $one i64) (local $two i64) (local $left i32)
    (local.set $left (i32.sub (local.get $end) (local.get $at)))
    (local.set $one (i64.xor (local.get $before) (i64.extend_i32_u (local.get $left))))
    (local.set $two (i64.xor (local.get $before) (i64.const -1)))
    (block $done (loop $next
      (br_if $done (i32.lt_s (local.get $left) (i32.const 16)))
      ;; $absorb, inlined twice: with calls, the whole scan would take 1.5 times as long.
      (local.set $one (i64.mul (i64.xor (local.get $one) (i64.load offset=320 (local.get $at)))
        (i64.const 0x9e3779b97f4a7c15)))
      (local.set $one (i64.xor (local.get $one) (i64.shr_u (local.get $one) (i64.const 32))))
      (local.set $two (i64.mul (i64.xor (local.get $two) (i64.load offset=328 (local.get $at)))
        (i64.const 0x9e3779b97f4a7c15)))
      (local.set $two (i64.xor (local.get $two) (i64.shr_u (local.get $two) (i64.const 32))))
      (local.set $at (i32.add (local.get $at) (i32.const 16)))
      (local.set $left (i32.sub (local.get $left) (i32.const 16)))
      (br $next)))
    (if (i32.ge_s (local.get $left) (i32.const 8)) (then
      (local.set $one (call $absorb (local.get $one) (i64.load offset=320 (local.get $at))))
      (local.set $at (i32.add (local.get $at) (i32.const 8)))
      (local.set $left (i32.sub (local.get $left) (i32.const 8)))))
    ;; The last bytes are less than a word: the bytes behind them are masked out.
    (local.set $two (call $absorb (local.get $two)
      (i64.and (i64.load offset=320 (local.get $at))
        (i64.sub
          (i64.shl (i64.const 1) (i64.extend_i32_u (i32.shl (local.get $left) (i32.const 3))))
          (i64.const 1)))))
    (call $absorb (local.get $one) (local.get $two)))

  ;; Hashes the text around two holes.
  (func $hashAround (param $seed i32) (param $length i32)
    (param $from i32) (param $to i32) (param $secondFrom i32) (param $secondTo i32)
    (i64.store32 (i32.const 28)
      (call $hash (call $hash (call $hash (i64.extend_i32_u (local.get $seed))
        (i32.const 0) (local.get $from))
        (local.get $to) (local.get $secondFrom))
        (local.get $secondTo) (local.get $length))))

  ;; Scans a text of $length bytes. The guesses are where the names may be, relative to the start of
  ;; the text for the key's and to the key's end for the body's. Returns 2 when there are a key and
  ;; a body, 1 when there is no body, and 0 when the text needs the parser.
  (func (export "scan")
    (param $length i32) (param $keyGuess i32) (param $bodyGuess i32) (param $target i32)
    (param $seed i32) (result i32)
    (local $at i32) (local $keyStart i32) (local $keyEnd i32)
    (local $bodyStart i32) (local $bodyEnd i32)
    ;; A sentinel that ends every search for the end of a string.
    (i32.store8 offset=320 (local.get $length) (i32.const 0x22))

    (local.set $at (call $find (local.get $keyGuess) (local.get $length) (i32.const 0)))
    (i32.store (i32.const 0) (local.get $at))
    (local.set $keyStart (call $contentAt
      (local.get $at) (i32.add (local.get $at) (i32.const 16)) (local.get $length)))
    (if (i32.lt_s (local.get $keyStart) (i32.const 0)) (then (return (i32.const 0))))
    (local.set $keyEnd
      (call $string (local.get $keyStart) (local.get $target) (local.get $length)))
    (if (i32.lt_s (local.get $keyEnd) (i32.const 0)) (then (return (i32.const 0))))
    ;; The key's raw bytes are hashed, so they must have no escapes, and be ASCII.
    (if (i32.or (global.get $beyondAscii) (i32.ne (global.get $written)
          (i32.sub (local.get $keyEnd) (local.get $keyStart))))
      (then (return (i32.const 0))))
    (i32.store (i32.const 4) (local.get $keyStart))
    (i32.store (i32.const 8) (local.get $keyEnd))

    (local.set $at (call $find (i32.add (local.get $keyEnd) (local.get $bodyGuess))
      (local.get $length) (i32.const 1)))
    (i32.store (i32.const 12) (local.get $at))
    (local.set $bodyStart (call $contentAt
      (local.get $at) (i32.add (local.get $at) (i32.const 6)) (local.get $length)))
    (if (i32.lt_s (local.get $bodyStart) (i32.const 0)) (then
      (call $hashAround (local.get $seed) (local.get $length)
        (local.get $keyStart) (local.get $keyEnd) (local.get $length) (local.get $length))
      (return (i32.const 1))))
    (local.set $bodyEnd
      (call $string (local.get $bodyStart) (local.get $target) (local.get $length)))
    (if (i32.lt_s (local.get $bodyEnd) (i32.const 0)) (then (return (i32.const 0))))
    (i32.store (i32.const 16) (local.get $bodyStart))
    (i32.store (i32.const 20) (local.get $bodyEnd))
    (i32.store (i32.const 24) (global.get $written))
    (i32.store (i32.const 32) (global.get $beyondAscii))

    (if (i32.le_s (local.get $keyEnd) (local.get $bodyStart))
      (then
        (call $hashAround (local.get $seed) (local.get $length)
          (local.get $keyStart) (local.get $keyEnd) (local.get $bodyStart) (local.get $bodyEnd)))
      (else
        ;; One of the two is inside the other.
        (if (i32.gt_s (local.get $bodyEnd) (local.get $keyStart)) (then (return (i32.const 0))))
        (call $hashAround (local.get $seed) (local.get $length)
          (local.get $bodyStart) (local.get $bodyEnd) (local.get $keyStart) (local.get $keyEnd))))
    (i32.const 2))

  ;; Whether $bytes bytes of the text equal those of the memory at $kept.
  (func $same (param $at i32) (param $kept i32) (param $bytes i32) (result i32)
    (local $different v128)
    (block $last (loop $next
      (br_if $last (i32.lt_s (local.get $bytes) (i32.const 16)))
      (local.set $different (v128.or (local.get $different)
        (v128.xor (v128.load offset=320 (local.get $at)) (v128.load (local.get $kept)))))
      (local.set $at (i32.add (local.get $at) (i32.const 16)))
      (local.set $kept (i32.add (local.get $kept) (i32.const 16)))
      (local.set $bytes (i32.sub (local.get $bytes) (i32.const 16)))
      (br $next)))
    (i32.eqz (i32.or
      (v128.any_true (local.get $different))
      (i32.and
        (i32.xor (i32.const -1) (i8x16.bitmask (i8x16.eq
          (v128.load offset=320 (local.get $at)) (v128.load (local.get $kept)))))
        (i32.sub (i32.shl (i32.const 1) (local.get $bytes)) (i32.const 1))))))

  ;; Whether the text around two holes equals what is stored at $kept, piece after piece.
  (func (export "isAround")
    (param $kept i32) (param $from i32) (param $to i32) (param $secondFrom i32)
    (param $secondTo i32) (param $length i32) (result i32)
    (local $between i32)
    (local.set $between (i32.sub (local.get $secondFrom) (local.get $to)))
    (i32.and (i32.and
      (call $same (i32.const 0) (local.get $kept) (local.get $from))
      (call $same (local.get $to) (i32.add (local.get $kept) (local.get $from))
        (local.get $between)))
      (call $same (local.get $secondTo)
        (i32.add (i32.add (local.get $kept) (local.get $from)) (local.get $between))
        (i32.sub (local.get $length) (local.get $secondTo))))))
