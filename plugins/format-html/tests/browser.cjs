// Does in a browser what people do with the page: see browser.sh.
'use strict';
const assert = require('node:assert/strict');
const { chromium } = require('playwright-core');
const axe = require('axe-core');

const [small, fixed, large, pictures] = process.argv.slice(2);

/** Each check gets a new tab, and fails if the page logs an error or asks for another file. */
const CHECKS = {
  async 'tally and failures come first'(page) {
    await page.goto(`file://${small}`);
    assert.deepEqual(await page.locator('#tally button').allInnerTexts(), ['FAIL 2', 'CANCEL 1', 'PASS 2']);
    const names = await page.locator('#list .name').allInnerTexts();
    assert.equal(names.length, 5);
    assert.deepEqual(names.slice(0, 2).sort(), ['first:fails.sh', 'second:cases.t']);
  },

  async 'output of tests is text'(page) {
    page.on('dialog', () => assert.fail('a script of a test ran'));
    await page.goto(`file://${small}`);
    await page.getByRole('button', { name: 'first:fails.sh' }).click();
    const output = await page.locator('.detail pre').allInnerTexts();
    assert.equal(output[0].trim(), 'the disk is gone');
    assert.match(output[1], /<script>document\.title = "owned"<\/script><img src=x/);
    assert.equal(await page.locator('.detail img').count(), 0);
    assert.notEqual(await page.title(), 'owned');
  },

  async 'search and filters are kept in the address'(page) {
    await page.goto(`file://${small}`);
    await page.getByRole('searchbox').fill('first -fails');
    await page.getByRole('button', { name: 'PASS 2', exact: true }).click();
    assert.equal(await page.locator('#count').innerText(), '2 of 5 tests');
    const address = page.url();
    const again = await page.context().newPage();
    await again.goto(address);
    assert.equal(await again.locator('#count').innerText(), '2 of 5 tests');
    assert.equal(await again.getByRole('searchbox').inputValue(), 'first -fails');
  },

  async 'typing keeps the focus'(page) {
    await page.goto(`file://${small}`);
    await page.keyboard.press('/');
    await page.keyboard.type('flaky');
    assert.equal(await page.getByRole('searchbox').inputValue(), 'flaky');
    assert.deepEqual(await page.locator('#list .name').allInnerTexts(), ['first:flaky.sh']);
  },

  async 'arrow keys and Enter open a test, and back closes it'(page) {
    await page.goto(`file://${small}`);
    await page.locator('#list .name').first().focus();
    await page.keyboard.press('ArrowDown');
    const second = await page.locator('#list .name').nth(1).innerText();
    assert.equal(await page.evaluate(() => document.activeElement.textContent), second);
    await page.keyboard.press('Enter');
    assert.equal(await page.locator('.detail').count(), 1);
    await page.goBack();
    assert.equal(await page.locator('.detail').count(), 0);
  },

  async 'attempts and cases are shown'(page) {
    await page.goto(`file://${small}`);
    await page.getByRole('button', { name: 'Flaky 1' }).click();
    await page.getByRole('button', { name: 'first:flaky.sh' }).click();
    assert.equal(await page.locator('.attempts section').count(), 2);
    await page.goto(`file://${small}#search=writes`);
    await page.getByRole('button', { name: 'second:cases.t' }).click();
    assert.match(await page.locator('.cases').first().innerText(), /FAIL.*writes/);
  },

  async 'files of a test can be opened'(page) {
    await page.goto(`file://${small}`);
    await page.getByRole('button', { name: 'first:fails.sh' }).click();
    const link = page.locator('.detail li a', { hasText: 'stderr' });
    const address = new URL(await link.getAttribute('href'), page.url());
    assert.equal(require('node:fs').readFileSync(address, 'utf8'), 'the disk is gone\n');
  },

  async 'order shows what waits for what'(page) {
    await page.goto(`file://${small}`);
    await page.getByRole('button', { name: 'Order 1' }).click();
    assert.equal(await page.locator('svg .edge').count(), 1);
    assert.match(await page.locator('tbody tr').innerText(), /second:waits.*second:cases\.t.*needs it/s);
  },

  async 'bar of the timeline leads to its test'(page) {
    await page.goto(`file://${small}#view=timeline`);
    assert.equal(await page.locator('svg rect:not(.lane)').count(), 4);
    await page.locator('svg rect.FAIL').first().click();
    assert.equal(await page.locator('.detail').count(), 1);
  },

  async 'comparison names what is newly failed'(page) {
    await page.goto(`file://${small}`);
    await page.locator('input[type=file]').setInputFiles(fixed);
    await page.getByRole('button', { name: 'newly failed 2' }).click();
    assert.deepEqual(await page.locator('#list .name').allInnerTexts(), ['first:fails.sh', 'second:cases.t']);
    await page.getByRole('button', { name: 'second:cases.t' }).click();
    assert.deepEqual(await page.locator('.cases strong').allInnerTexts(), [' newly failed']);
    await page.locator('input[type=file]').setInputFiles(small);
    await page.getByRole('button', { name: 'still failing 2' }).waitFor();
    await page.locator('input[type=file]').setInputFiles(__filename);
    assert.match(await page.getByRole('alert').last().innerText(), /neither a page of Persea/);
  },

  async 'nothing is hard to perceive or to operate'(page) {
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme });
      for (const view of ['', '#view=timeline', '#view=needs', '#test=first-2-fails.sh', '#status=PASS']) {
        await page.goto('about:blank');
        await page.goto(`file://${small}${view}`);
        // The policy of the page allows no scripts of others, so axe runs beside it.
        await page.evaluate(axe.source);
        const { violations, passes } = await page.evaluate(() => globalThis.axe.run());
        assert.ok(passes.length > 10);
        const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
        assert.deepEqual(found, [], `${colorScheme} ${view}`);
      }
    }
  },

  async 'page of 10,000 tests answers to each key'(page) {
    const begin = Date.now();
    await page.goto(`file://${large}`);
    assert.equal(await page.locator('#count').innerText(), '10,000 tests');
    const opened = Date.now() - begin;
    const times = await page.evaluate(() => {
      const search = document.getElementById('search');
      return [...'group-7/test'].map((_, length, all) => {
        search.value = all.slice(0, length + 1).join('');
        const start = performance.now();
        search.dispatchEvent(new Event('input'));
        // Reading a size makes the browser lay the page out.
        document.body.getBoundingClientRect();
        return performance.now() - start;
      });
    });
    assert.equal(await page.locator('#count').innerText(), '100 of 10,000 tests');
    const sorted = times.sort((one, two) => one - two);
    console.log(`  10,000 tests: opened in ${opened} ms; a key takes ${sorted[6].toFixed(0)} ms ` +
      `(median), ${sorted.at(-1).toFixed(0)} ms (maximum)`);
  },
};

async function main() {
  const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
  let failed = 0;
  for (const [name, check] of Object.entries(CHECKS)) {
    const context = await browser.newContext({ viewport: { width: 1200, height: 800 }, bypassCSP: false });
    context.setDefaultTimeout(20000);
    const problems = [];
    context.on('page', (page) => {
      page.on('pageerror', (error) => problems.push(String(error)));
      page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
      page.on('request', (request) => {
        if (!request.url().startsWith(`file://${small}`) && !request.url().startsWith(`file://${large}`)) {
          problems.push(`asked for ${request.url()}`);
        }
      });
    });
    try {
      await check(await context.newPage());
      assert.deepEqual(problems, []);
      console.log(`ok: ${name}`);
    } catch (error) {
      failed += 1;
      console.error(`FAILED: ${name}\n${error.stack}\n${problems.join('\n')}`);
    }
    await context.close();
  }
  if (pictures) {
    const page = await browser.newPage({ viewport: { width: 1200, height: 800 } });
    for (const [name, view] of [['tests', ''], ['test', '#test=first-2-fails.sh'], ['timeline', '#view=timeline'], ['order', '#view=needs']]) {
      await page.goto('about:blank');
      await page.goto(`file://${small}${view}`);
      await page.screenshot({ path: `${pictures}/${name}.png` });
    }
  }
  await browser.close();
  console.log(`browser: ${Object.keys(CHECKS).length - failed} of ${Object.keys(CHECKS).length} checks passed`);
  process.exitCode = failed ? 1 : 0;
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
