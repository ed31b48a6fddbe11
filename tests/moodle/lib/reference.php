<?php
// Asks the small reference deployment as a visitor: php reference.php BASE_URL TOKEN WORK BEHAVIOURS REPLICA_PORT. It asserts
// which answers the edge keeps, that no private one is among them, that both nodes see a change, a purge and a session, and
// that pages go on when a node or the Redis server is lost.

[, $base, $token, $work, $behaviours, $replica] = $argv;
require(__DIR__ . '/client.php');

$failures = 0;

/**
 * Says whether something is as it should be.
 *
 * @param bool $holds
 * @param string $what
 */
function check(bool $holds, string $what): void {
    global $failures;
    $failures += $holds ? 0 : 1;
    echo $holds ? '  ok    ' : '  FAIL  ', $what, "\n";
}

/**
 * Fetches URLs at the same time, with what their headers say.
 *
 * @param array $requests of [path, user]; the user "" is nobody
 * @return array of objects with status, edge (what the cache says, empty where there is none), node, cookie, control and body
 */
function visit(array $requests): array {
    $multi = curl_multi_init();
    $handles = array_map(function (array $request) use ($multi) {
        $handle = request_of(...$request);
        curl_setopt($handle, CURLOPT_HEADER, true);
        curl_multi_add_handle($multi, $handle);
        return $handle;
    }, $requests);
    do {
        curl_multi_exec($multi, $running);
        curl_multi_select($multi, 0.05);
    } while ($running);
    return array_map(function ($handle) {
        $text = (string)curl_multi_getcontent($handle);
        $size = curl_getinfo($handle, CURLINFO_HEADER_SIZE);
        $header = fn(string $name) => preg_match("/^$name: *(.*?)\\r?$/mi", substr($text, 0, $size), $match) ? $match[1] : '';
        return (object)['status' => curl_getinfo($handle, CURLINFO_RESPONSE_CODE), 'edge' => $header('X-Cache'), 'node' => $header('X-Node'),
            'cookie' => $header('Set-Cookie'), 'control' => $header('Cache-Control'), 'body' => substr($text, $size)];
    }, $handles);
}

/**
 * What this test's second page answers.
 *
 * @param string $query
 * @param string $user
 * @return array
 */
function reference(string $query, string $user = ''): array {
    global $token;
    return answer(fetch_all([["/larder_reference.php?token=$token&do=$query", $user]])[0]);
}

// The nodes come into service when they are warm.
for ($tries = 0; visit([['/health', '']])[0]->status !== 200; $tries++) {
    if ($tries === 100) {
        fwrite(STDERR, "No node comes into service.\n");
        exit(1);
    }
    usleep(200000);
}
$pages = [];
foreach (['admin', 'student'] as $user) {
    $pages[$user] = answer(fetch_all([ask("login&as=$user", $user)])[0]);
}
$ids = array_combine(array_keys($pages), array_map(fn($user) => reference('who', $user)['user'], array_keys($pages)));

echo "\nWhat the edge keeps\n";
$html = '';
foreach ($pages as $user => $paths) {
    foreach (visit(array_map(fn($path) => [$path, $user], $paths)) as $response) {
        $html .= $response->body;
    }
}
preg_match('#javascript\.php\\\\?/(\d+)#', $html, $revision);
$revision = $revision[1] ?? '-1';
$args = urlencode('[{"index":0,"methodname":"core_get_string","args":{"stringid":"yes","component":"core","lang":"en"}}]');
// Not on these pages.
$more = [
    '/theme/jquery.php' => '/theme/jquery.php/core/' . basename(glob("$work/tree/lib/jquery/jquery-3*.min.js")[0] ?? 'jquery.js'),
    '/theme/font.php' => "/theme/font.php/boost/core/$revision/fa-solid-900.woff2",
    '/lib/editor/tiny/lang.php' => "/lib/editor/tiny/lang.php/$revision/en/tiny.js",
    '/lib/editor/tiny/loader.php' => "/lib/editor/tiny/loader.php/$revision/tinymce.js",
    '/lib/ajax/service-nologin.php' => '/lib/ajax/service-nologin.php?info=core_get_string&cachekey=' . (time() - 60) . "&args=$args",
];
// The first request for the style sheet compiles it, on each node, which may take longer than the edge waits. The query makes it another URL.
preg_match('#/theme/styles\.php/[^"\'\s<>]+#', $html, $style);
for ($tries = 0, $compiled = []; count($compiled) < 2 && $tries < 30; $tries++) {
    foreach (visit(array_fill(0, 2, [html_entity_decode($style[0]) . "?try=$tries", ''])) as $response) {
        if ($response->status === 200) {
            $compiled[$response->node] = true;
        }
    }
}
$keyed = $more['/lib/ajax/service-nologin.php'];
// A table of tables with strings, all that is needed of TOML here.
preg_match_all('/^\[\[(\w+)\]\]\npath = "(.*)"$/m', file_get_contents($behaviours), $table, PREG_SET_ORDER);
foreach ($table as [, $kind, $path]) {
    if ($kind !== 'cached') {
        continue;
    }
    $found = preg_match('#' . preg_quote($path) . '[/?][^"\'\s<>\\\\]+#', str_replace('\/', '/', html_entity_decode($html)), $match) ? $match[0] : ($more[$path] ?? '');
    if ($found === '') {
        echo "  --    $path: on none of these pages\n";
        continue;
    }
    // By a student, an administrator and nobody, one after the other.
    $responses = array_map(fn($user) => visit([[$found, $user]])[0], ['student', 'admin', '']);
    $edges = implode(', ', array_column($responses, 'edge'));
    $same = count(array_unique(array_column($responses, 'body'))) === 1;
    $cookies = implode('', array_column($responses, 'cookie'));
    $good = $responses[0]->status === 200 && str_contains($responses[0]->control, 'public') && $same && $cookies === ''
        && $responses[0]->edge !== 'HIT' && $responses[1]->edge === 'HIT' && $responses[2]->edge === 'HIT';
    $why = $good ? '' : " [HTTP {$responses[0]->status}, {$responses[0]->control}" . ($cookies ? ', with a cookie' : '') . ", $found]";
    // What was on a page may be there already.
    $good = $good || $responses[0]->edge === 'HIT' && $same && $cookies === '' && $responses[2]->edge === 'HIT';
    check($good, sprintf('%-32s %s%s', $path, $edges, $why));
}
$unkeyed = array_map(fn() => visit([[preg_replace('/&cachekey=\d+/', '', $keyed), '']])[0]->edge, [1, 2]);
check(!in_array('HIT', $unkeyed, true), 'an answer of service-nologin.php without a cachekey is not kept: ' . implode(', ', $unkeyed));

echo "\nWhat it never keeps: each page twice by both users, then by nobody\n";
$names = ['admin' => "data-userid=\"{$ids['admin']}\"", 'student' => "data-userid=\"{$ids['student']}\""];
foreach ($pages['student'] as $name => $path) {
    $kept = $foreign = $broken = 0;
    foreach (['admin', 'student', 'admin', 'student', ''] as $user) {
        [$response] = visit([[$path, $user]]);
        $kept += $response->edge !== '' ? 1 : 0;
        foreach ($names as $other => $mark) {
            $foreign += $other !== $user && str_contains($response->body, $mark) ? 1 : 0;
        }
        $broken += $user !== '' && ($response->status !== 200 || !str_contains($response->body, $names[$user])) && $name !== 'grades' ? 1 : 0;
    }
    check($kept + $foreign + $broken === 0, sprintf('%-12s %d kept, %d of another user, %d broken', $name, $kept, $foreign, $broken));
}
$file = reference('file', 'student')['path'];
$secret = "secret of {$ids['student']}";
$got = array_map(fn($user) => visit([[$file, $user]])[0], ['student', 'student', 'admin', '']);
check($got[0]->body === $secret && $got[1]->body === $secret, "a private file that ends in .js, by its owner: HTTP {$got[0]->status}, {$got[0]->control}");
check($got[2]->body !== $secret && $got[3]->body !== $secret, "by another user HTTP {$got[2]->status}, by nobody HTTP {$got[3]->status}");
check(implode('', array_column($got, 'edge')) === '', 'and the edge keeps none of it');
reference('nofile', 'student');

echo "\nTwo nodes\n";
$responses = visit(array_fill(0, 24, [$pages['student']['course'], 'student']));
$nodes = array_count_values(array_column($responses, 'node'));
$logged = count(array_filter($responses, fn($response) => str_contains($response->body, $names['student'])));
check(count($nodes) === 2 && $logged === 24, "a session moves between nodes: $logged of 24 pages logged in, served by " . json_encode($nodes));
check(reference('who')['address'] === '127.0.0.1', 'Moodle sees the address of the visitor');

/**
 * Asks both nodes until each has answered ten times or more.
 *
 * @param array $request
 * @return array of what they answered, by node
 */
function both(array $request): array {
    $answers = [];
    for ($round = 0; $round < 20 && (count($answers) < 2 || min(array_map('count', $answers)) < 10); $round++) {
        foreach (visit(array_fill(0, 12, $request)) as $response) {
            $answers[$response->node][] = json_decode($response->body, true)['value'] ?? null;
        }
    }
    return $answers;
}

/**
 * Whether both nodes gave one answer, and no other.
 *
 * @param array $answers
 * @param mixed $wanted
 * @return bool
 */
function all_are(array $answers, mixed $wanted): bool {
    return count($answers) === 2 && array_unique(array_merge(...array_values($answers)), SORT_REGULAR) === [$wanted];
}

$wrong = 0;
for ($value = 1; $value <= 5; $value++) {
    answer(fetch_all([ask("set&value=$value")])[0]);
    $wrong += all_are(both(ask('get')), (string)$value) ? 0 : 1;
}
check($wrong === 0, 'a setting that was changed five times is new on both nodes at the next request');
reference('put&value=kept');
$before = all_are(both(["/larder_reference.php?token=$token&do=look", '']), 'kept');
answer(fetch_all([ask('purgeall')])[0]);
$after = all_are(both(["/larder_reference.php?token=$token&do=look", '']), false);
check($before && $after, 'an entry is there on both nodes, and gone on both after a purge of all caches');

/**
 * Four visitors click on for so many seconds.
 *
 * @param float $seconds
 * @param array $todo what happens meanwhile: [seconds, callable]
 * @return array of [seconds, status, problem] of each page
 */
function click(float $seconds, array $todo): array {
    global $pages;
    $multi = curl_multi_init();
    $clicks = $running = $done = $later = [];
    $began = microtime(true);
    $now = fn() => microtime(true) - $began;
    $next = function (int $visitor) use ($multi, $pages, &$clicks, &$running): void {
        $user = $visitor % 2 ? 'admin' : 'student';
        $clicks[$visitor] = ($clicks[$visitor] ?? $visitor) + 1;
        $path = array_values($pages['student'])[$clicks[$visitor] % 3];
        $handle = request_of($path, $user);
        $running[spl_object_id($handle)] = [$visitor, $handle];
        curl_multi_add_handle($multi, $handle);
    };
    array_map($next, range(0, 3));
    while ($running || $later) {
        if ($todo && $now() >= $todo[0][0]) {
            array_shift($todo)[1]();
        }
        curl_multi_exec($multi, $active);
        while ($info = curl_multi_info_read($multi)) {
            [$visitor, $handle] = $running[spl_object_id($info['handle'])];
            unset($running[spl_object_id($handle)]);
            $response = [curl_getinfo($handle, CURLINFO_RESPONSE_CODE), (string)curl_multi_getcontent($handle)];
            $done[] = [$now(), $response[0], problem($response)];
            curl_multi_remove_handle($multi, $handle);
            // Nobody clicks more often because pages fail at once.
            $later[$visitor] = end($done)[2] === '' ? 0 : $now() + 1;
        }
        foreach (array_filter($later, fn($at) => $now() >= $at) as $visitor => $at) {
            unset($later[$visitor]);
            $now() < $seconds && $next($visitor);
        }
        curl_multi_select($multi, 0.05);
    }
    return $done;
}

/**
 * What a run of clicks shows.
 *
 * @param array $done
 * @param float $from problems after this second are failures
 * @param string $what
 */
function clicked(array $done, float $from, string $what): void {
    $problems = array_filter($done, fn($page) => $page[2] !== '');
    $late = array_filter($problems, fn($page) => $page[0] >= $from);
    $seconds = array_count_values(array_map(fn($page) => (int)$page[0], array_filter($done, fn($page) => $page[2] === '')));
    $line = implode(' ', array_map(fn($second) => $seconds[$second] ?? 0, range(0, (int)max(array_column($done, 0)))));
    check(!$late && $done, sprintf('%s: %d pages, %d failed, %d of them after %.0f s; pages a second: %s', $what, count($done), count($problems), count($late), $from, $line));
    foreach (array_slice($late, 0, 3) as $page) {
        echo '        ', sprintf('%.1f s: HTTP %d, %s', $page[0], $page[1], substr($page[2], 0, 200)), "\n";
    }
}

echo "\nWhile four visitors click on\n";
$redis = (int)file_get_contents("$work/primary.pid");
answer(fetch_all([ask('set&value=before')])[0]);
clicked(click(14, [
    [4, fn() => posix_kill($redis, SIGKILL)],
    [5, fn() => exec("redis-cli -h 127.0.0.1 -p $replica replicaof no one")],
]), 0, 'Redis is killed after 4 s, its replica promoted a second later');
check(all_are(both(ask('get')), 'before'), 'what was set before is so on both nodes');
answer(fetch_all([ask('set&value=after')])[0]);
check(all_are(both(ask('get')), 'after'), 'and a change on the new primary is seen on both');
answer(fetch_all([ask('unset')])[0]);

$node = (int)file_get_contents("$work/fpm1.pid");
clicked(click(12, [[3, fn() => posix_kill($node, SIGTERM)]]), 7, "a node's php-fpm ends after 3 s");
for ($tries = 0, $left = []; count($left) !== 1 && $tries < 5; $tries++) {
    $left = array_count_values(array_column(visit(array_fill(0, 12, [$pages['student']['course'], 'student'])), 'node'));
}
check(array_keys($left) === [0], 'the other one serves: ' . json_encode($left));

echo $failures ? "\nreference: $failures FAILED.\n" : "\nreference: all as it should be.\n";
exit($failures ? 1 : 0);
