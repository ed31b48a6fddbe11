// Uses the plugin's pages in Chromium: node browser.cjs URL TOKEN REDIS-PORT TLS-PORT PICTURES. NODE_PATH has playwright-core and
// axe-core. Redis wants the password right-password; nobody has signed the certificate of the TLS one.

const { chromium } = require('playwright-core');
const { strict: assert } = require('assert');
const path = require('path');

const [base, token, redis, tls, pictures] = process.argv.slice(2);
const axe = require.resolve('axe-core');
const problems = [];

/** Runs a part of the test; the others run even if it fails. */
async function part(name, run) {
    try {
        await run();
        console.log(`ok      ${name}`);
    } catch (error) {
        problems.push(name);
        console.log(`FAILED  ${name}\n${error.message}`);
        await page.screenshot({ path: path.join(pictures, `failed-${problems.length}.png`) });
    }
}

/** Goes to a page and waits until it is complete: a script that is left before it has come is an error in RequireJS. */
async function visit(url) {
    const answer = await page.goto(url, { waitUntil: 'networkidle' });
    assert.equal(answer.status(), 200);
}

/** Keeps a picture of the part of the page that a selector names, from its top. */
async function picture(name, selector = '#region-main', height = Infinity) {
    await page.evaluate(() => {
        document.activeElement?.blur();
        window.scrollTo(0, 0);
    });
    await page.addStyleTag({ content: '.navbar, .drawer-toggles, #page-footer { display: none !important; }' });
    await page.waitForTimeout(1000);   // Charts grow to their size.
    const clip = await page.locator(selector).first().boundingBox();
    clip.height = Math.min(clip.height, height);
    await page.screenshot({ path: path.join(pictures, `${name}.png`), fullPage: true, clip, animations: 'disabled' });
}

/** What axe-core finds serious in a part of the page. */
async function accessible(selector) {
    await page.addScriptTag({ path: axe });
    const { violations } = await page.evaluate(selector => window.axe.run(selector), selector);
    const serious = violations.filter(found => ['serious', 'critical'].includes(found.impact));
    assert.deepEqual(serious.map(found => `${found.id}: ${found.nodes.map(node => node.html).join('\n')}`), []);
}

/** Moves on with the Tab key until something has the focus. */
async function tabTo(selector, from) {
    if (from) {
        await page.locator(from).first().focus();
    }
    for (let steps = 0; steps < 80; steps++) {
        if (await page.evaluate(selector => document.activeElement.matches(selector), selector)) {
            return;
        }
        await page.keyboard.press('Tab');
    }
    assert.fail(`the Tab key does not reach ${selector}`);
}

/** Types into a field that the Tab key reaches, in place of what is there. */
async function type(field, text) {
    await tabTo(`[name="${field}"]`);
    await page.keyboard.press('Control+a');
    await page.keyboard.type(text);
}

/** Presses the button for the test of the connection, and gives what it says. */
async function testConnection() {
    await tabTo('[name="testconnection"]');
    await Promise.all([page.waitForNavigation({ waitUntil: 'networkidle' }), page.keyboard.press('Enter')]);
    return page.locator('#region-main [role="alert"]').last().innerText();
}

let page;

(async () => {
    const browser = await chromium.launch({
        executablePath: process.env.CHROMIUM || '/usr/bin/chromium', args: ['--no-sandbox', '--no-proxy-server'],
    });
    page = await browser.newPage({ viewport: { width: 1200, height: 900 }, reducedMotion: 'reduce' });
    page.setDefaultTimeout(120000);
    const errors = [];
    page.on('pageerror', error => errors.push(`${page.url()}: ${error.message}`));
    await visit(`${base}/larder_test.php?token=${token}&do=login&as=admin`);

    await part('the page of caches offers to add an instance', async () => {
        await visit(`${base}/cache/admin.php`);
        await page.locator('a[href*="action=addstore"][href*="plugin=larder"]').click();
        await page.waitForSelector('[name="serverkind"]');
        await page.waitForLoadState('networkidle');
    });
    await part('axe-core finds nothing serious in the form', () => accessible('#region-main'));
    await part('every field is reached by keyboard', async () => {
        for (const group of ['speed', 'fallback', 'locks', 'security']) {
            const toggle = `#id_header_${group}container, [href="#id_header_${group}container"]`;
            await tabTo(`[href="#id_header_${group}container"]`, 'input[name="name"]');
            await page.keyboard.press('Space');
            await page.locator(toggle).first().waitFor();
        }
        const wanted = await page.evaluate(() => [...document.querySelectorAll('#region-main form.mform [name]')]
            .filter(field => field.offsetParent && field.type !== 'hidden').map(field => field.name));
        assert.ok(wanted.includes('near_bytes') && wanted.includes('lock_lease'), `the groups do not open: ${wanted}`);
        const reached = new Set();
        await page.locator('input[name="name"]').focus();
        for (let steps = 0; steps < 150; steps++) {
            reached.add(await page.evaluate(() => document.activeElement.name ||
                document.activeElement.closest('[data-passwordunmask]')?.querySelector('[name]')?.name));
            await page.keyboard.press('Tab');
        }
        assert.deepEqual(wanted.filter(name => !reached.has(name) && !['seal_key', 'password'].includes(name)), []);
        await picture('form', '#region-main form.mform');
    });
    await part('a missing server is named', async () => {
        await visit(`${base}/cache/admin.php?action=addstore&plugin=larder`);
        await page.locator('input[name="name"]').focus();
        await page.keyboard.type('larder');
        assert.match(await testConnection(), /required/i);
    });
    await part('a wrong password is named', async () => {
        await page.locator('[name="name"]').focus();
        await type('serverhost', `127.0.0.1:${redis}`);
        await page.evaluate(() => document.querySelector('[data-passwordunmask="edit"], [data-passwordunmask="wrapper"] a').focus());
        await page.keyboard.press('Enter');
        await page.keyboard.press('Control+a');
        await page.keyboard.type('wrong-password');
        await page.keyboard.press('Tab');
        const said = await testConnection();
        assert.match(said, /check user name and password/i);
        await page.locator('[name="testconnection"]').scrollIntoViewIfNeeded();
        await picture('wrong-password', '#region-main fieldset:has([name="serverkind"])');
    });
    await part('a wrong certificate is named', async () => {
        await page.locator('[name="serverkind"]').focus();
        await page.keyboard.type('Redis over');
        await type('serverhost', `127.0.0.1:${tls}`);
        assert.match(await testConnection(), /Check the server's certificate/);
    });
    await part('the right settings are found right and saved', async () => {
        await page.locator('[name="serverkind"]').selectOption('redis');
        await page.locator('[name="serverhost"]').fill(`127.0.0.1:${redis}`);
        await page.locator('[data-passwordunmask="edit"], [data-passwordunmask="wrapper"] a').first().click();
        await page.locator('input[name="password"]').fill('right-password');
        await page.keyboard.press('Enter');
        if (await page.locator('[name="testconnection"]').count()) {
            assert.match(await testConnection(), /version .* answers|can be used/);
            await picture('test-connection', '#region-main fieldset:has([name="serverkind"])');
            await page.locator('[name="submitbutton"]').click();
        }
        await page.waitForLoadState('networkidle');
        assert.equal(await page.locator('a[href*="action=editstore"][href*="store=larder"]').count(), 1);
    });
    await part('the performance page measures it', async () => {
        await visit(`${base}/cache/testperformance.php`);
        const row = page.locator('tr', { hasText: 'larder' }).first();
        assert.match(await row.innerText(), /\d\.\d+/);
    });
    await part('it is mapped', async () => {
        await visit(`${base}/cache/admin.php?action=editmodemappings&sesskey=${await sesskey()}`);
        for (const mode of [1, 2]) {
            await page.locator(`[name="mode_${mode}"]`).selectOption('larder');
        }
        await page.locator('[name="submitbutton"]').click();
        await page.waitForSelector('.generaltable');
        await page.waitForLoadState('networkidle');
    });
    await part('pages use it', async () => {
        for (const url of ['/my/', '/course/', '/admin/search.php', '/user/profile.php', '/my/', '/course/']) {
            await visit(base + url);
        }
        await visit(`${base}/admin/purgecaches.php`);
        await page.locator('[type="submit"][name="all"], [type="submit"][value*="urge all"]').first().click();
        await page.waitForSelector('.alert');
        await page.waitForLoadState('networkidle');
        for (let count = 0; count < 10; count++) {
            await visit(`${base}/my/`);
        }
    });
    await part('the status page is content', async () => {
        await visit(`${base}/report/status/index.php`);
        const text = await page.locator('#region-main').innerText();
        assert.match(text, /The servers of all Larder instances answer/);
        assert.match(text, /of the PHP extension is loaded/);
    });
    await part('the report shows charts, nodes and purges', async () => {
        await visit(`${base}/cache/stores/larder/report.php`);
        await page.waitForSelector('#larder_report canvas');
        assert.equal(await page.locator('#larder_report canvas').count(), 6);
        const text = await page.locator('#larder_report').innerText();
        assert.match(text, /core\/config/);
        assert.match(text, /admin\/purgecaches\.php/);
        assert.match(text, new RegExp(require('os').hostname()));
        await picture('report', '#region-main', 1300);
    });
    await part('axe-core finds nothing serious in the report', () => accessible('#region-main'));
    await part('the report refreshes by itself, until it is told not to', async () => {
        await page.clock.install();
        await visit(`${base}/cache/stores/larder/report.php`);
        const asked = () => page.waitForResponse(answer => answer.url().includes('core_get_fragment'), { timeout: 120000 });
        const [answer] = await Promise.all([asked(), page.clock.fastForward(31000)]);
        assert.equal((await answer.json())[0].error, false);
        await page.clock.runFor(1000);
        await page.waitForSelector('#larder_report canvas');
        await page.locator('#larder_live').focus();
        await page.keyboard.press('Space');
        let again = false;
        page.on('request', request => { again ||= request.url().includes('core_get_fragment'); });
        await page.clock.runFor(61000);
        assert.equal(again, false);
    });
    await part('the last day of one node can be chosen', async () => {
        await visit(`${base}/cache/stores/larder/report.php?period=day&node=${encodeURIComponent(require('os').hostname())}`);
        assert.equal(await page.locator('select[name="period"]').inputValue(), 'day');
        assert.equal(await page.locator('select[name="node"]').inputValue(), require('os').hostname());
    });
    // RequireJS takes a script that is not loaded because the page was left for a failure.
    await part('no script failed', async () => assert.deepEqual(errors.filter(error => !error.includes('#scripterror')), []));
    await browser.close();
    process.exit(problems.length ? 1 : 0);
})().catch(error => {
    console.error(error);
    process.exit(1);
});

async function sesskey() {
    return page.evaluate(() => window.M.cfg.sesskey);
}
