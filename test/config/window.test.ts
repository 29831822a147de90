import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseWindow } from '../../src/config/window.ts';

const EVERY_DAY = [1, 2, 3, 4, 5, 6, 7];
const span = (days: number[], start: string, end: string) => {
  const minutes = (time: string) => Number(time.slice(0, 2)) * 60 + Number(time.slice(3));
  return { days, startMinute: minutes(start), endMinute: minutes(end) };
};

describe('UPDATE_WINDOW', () => {
  const read: [string, ReturnType<typeof span>[]][] = [
    ['02:00-05:00', [span(EVERY_DAY, '02:00', '05:00')]],
    ['daily 2:00-5:00', [span(EVERY_DAY, '02:00', '05:00')]],
    ['Mon-Fri 02:00-05:00', [span([1, 2, 3, 4, 5], '02:00', '05:00')]],
    ['mon,wed,FRIDAY 02:00-05:00', [span([1, 3, 5], '02:00', '05:00')]],
    ['Sat, Sun 01:00-07:00', [span([6, 7], '01:00', '07:00')]],
    ['Fri-Mon 22:00-24:00', [span([1, 5, 6, 7], '22:00', '24:00')]],
    ['22:30-04:00', [span(EVERY_DAY, '22:30', '04:00')]],
    ['Sun', [span([7], '00:00', '24:00')]],
    [
      'Mon-Fri 02:00-05:00; Sat,Sun 23:30-07:00',
      [span([1, 2, 3, 4, 5], '02:00', '05:00'), span([6, 7], '23:30', '07:00')],
    ],
    [
      'Mon-Fri 02:00-05:00, Sat 23:30-07:00',
      [span([1, 2, 3, 4, 5], '02:00', '05:00'), span([6], '23:30', '07:00')],
    ],
    ['Mon 02:00-03:00, 12:00-13:00', [span([1], '02:00', '03:00'), span([1], '12:00', '13:00')]],
    [
      'Mon 02:00-03:00; 12:00-13:00',
      [span([1], '02:00', '03:00'), span(EVERY_DAY, '12:00', '13:00')],
    ],
    ['00:00-24:00', [span(EVERY_DAY, '00:00', '24:00')]],
  ];
  for (const [text, spans] of read)
    it(`reads ${JSON.stringify(text)}`, () => assert.deepEqual(parseWindow(text), spans));

  const refused: [string, RegExp][] = [
    ['', /names no time/],
    [';', /names no time/],
    ['whenever', /"whenever", which is neither a day nor a time/],
    ['Mo-Fr 02:00-05:00', /"Mo-Fr"/],
    ['Mon-Wed-Fri 02:00-05:00', /"Mon-Wed-Fri"/],
    ['02:00', /"02:00", which is no time like 02:00-05:00/],
    ['02:00 - 05:00', /"02:00"/],
    ['25:00-26:00', /a day has 24 hours/],
    ['02:60-03:00', /a day has 24 hours/],
    ['24:00-25:00', /a day has 24 hours/],
    ['02:00-02:00', /ends when it begins/],
    ['2am-5am', /"2am-5am"/],
  ];
  for (const [text, complaint] of refused)
    it(`refuses ${JSON.stringify(text)}`, () => {
      const answer = parseWindow(text);
      assert.ok(typeof answer === 'string', JSON.stringify(answer));
      assert.match(answer, complaint);
    });
});
