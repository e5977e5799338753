import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ago, bytes, count, millis, parseSize, percent, plural, rate, seconds, sentence, shellWord, until } from '../src/format'

function check<A extends unknown[]> (name: string, one: (...args: A) => unknown, cases: [...A, unknown][]) {
  test(name, () => {
    for (const each of cases) {
      const expected = each.at(-1)
      const args = each.slice(0, -1) as unknown as A
      assert.equal(one(...args), expected, `${name}(${args.map((arg) => JSON.stringify(arg)).join(', ')})`)
    }
  })
}

check('count', count, [[1_204, '1,204'], [0, '0'], [null, '–']])
check('rate', rate, [[0, '0'], [0.04, '<0.1'], [0.26, '0.3'], [9.96, '10'], [12_400.4, '12,400']])
check('plural', plural, [[1, 'call', 'calls', '1 call'], [2, 'try', 'tries', '2 tries']])
check('bytes', bytes, [[999, '999 B'], [1_000, '1.00 KB'], [12_345, '12.3 KB'], [999_499, '999 KB'], [999_500, '1.00 MB'], [100_000_000, '100 MB'], [20e9, '20.0 GB'], [null, '–']])
check('seconds', seconds, [[0, '0 s'], [59.9, '59 s'], [62, '1 min 02 s'], [3_600 + 240, '1 h 04 min'], [3 * 86_400 + 4 * 3_600, '3 d 4 h']])
check('millis', millis, [[0.42, '0.42 ms'], [11.776, '11.8 ms'], [304, '304 ms'], [999.7, '1.00 s'], [1_250, '1.25 s'], [125_000, '2 min 05 s']])
check('ago', ago, [[1_000, 1_500, 'now'], [0, 12_900, '12 s ago'], [0, 3_599_000, '59 min ago'], [5_000, 0, 'now'], [0, 2 * 86_400_000, '2 d ago']])
check('until', until, [[12_000, 0, 'in 12 s'], [0, 5_000, 'now']])
check('percent', percent, [[1, 200, '<1 %'], [1, 2, '50 %'], [0, 5, '0 %'], [1, 0, '–']])
check('sentence', sentence, [['put to lake failed', 'Put to lake failed'], ['spool.max_bytes is small', 'spool.max_bytes is small'], ['503 SlowDown', '503 SlowDown'], ['calls', 'Calls']])
check('parseSize', parseSize, [['100 MB', 100_000_000], ['64KiB', 65_536], ['1.5 GB', 1_500_000_000], ['12', 12], ['many', null]])
check('shellWord', shellWord, [['s3://a/b=c', 's3://a/b=c'], ['a b', "'a b'"], ["it's", "'it'\\''s'"], ['a>b', "'a>b'"]])
