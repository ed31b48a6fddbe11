<?php
// Takes Redis away from the site under test and brings it back, in every way that there is:
// php outage.php BASE_URL TOKEN WORK REDIS_PORT FALLBACK; with --redis WORK REDIS_PORT it only starts the server.

require(__DIR__ . '/client.php');
require(__DIR__ . '/redis.php');
if ($argv[1] === '--redis') {
    (new redis_under_test($argv[2], (int)$argv[3]))->start();
    exit(0);
}

[, $base, $token, $work, $redisport, $fallback] = $argv;
$redis = new redis_under_test($work, (int)$redisport);
$failures = 0;
$value = 0;

/**
 * Notes that something is wrong.
 *
 * @param string $text
 */
function wrong(string $text): void {
    global $failures;
    $failures++;
    echo "    $text\n";
}

/**
 * Loads every page once, four at a time, and says what is wrong with them.
 *
 * @param string $when
 * @return float the longest time, in milliseconds
 */
function load(string $when): float {
    global $pages;
    $longest = 0;
    foreach (array_chunk($pages, 4, true) as $some) {
        foreach (fetch_all($some) as $name => $response) {
            $longest = max($longest, $response[2]);
            if ($problem = problem($response)) {
                wrong("$name, $when: $problem");
            }
        }
    }
    return $longest;
}

/**
 * Changes the setting.
 *
 * @param string $when
 */
function change(string $when): void {
    global $value;
    $value++;
    if (fetch_all([ask("set&value=$value")])[0][0] !== 200) {
        wrong("the setting could not be changed $when");
    }
}

/**
 * Reads the setting in all workers.
 *
 * @param string $when
 */
function compare(string $when): void {
    global $value, $fallback;
    foreach (fetch_all(array_fill(0, 8, ask('get'))) as $response) {
        $answer = json_decode($response[1], true);
        if ($response[0] !== 200 || !isset($answer['value'])) {
            wrong("HTTP $response[0] $when: " . substr(strip_tags($response[1]), 0, 200));
        } else if ($fallback !== 'none' && $answer['value'] !== (string)$value) {
            wrong("the setting is old $when: $answer[value] instead of $value");
        }
    }
}

/**
 * Waits until a tier serves; pages are asked for and the setting is compared meanwhile.
 *
 * @param string $tier as in the extension's health()
 * @param string $when
 */
function await(string $tier, string $when): void {
    global $fallback;
    $end = microtime(true) + 60;
    do {
        compare($when);
        $health = answer(fetch_all([ask('health')])[0]);
        $serves = $health['tier'] ?? ($health['reachable'] ? 'primary' : 'none');
    } while ($serves !== $tier && microtime(true) < $end);
    if ($serves !== $tier) {
        wrong("$serves serves $when, not $tier: " . json_encode($health));
    }
}

$pages = [];
foreach (['admin', 'student'] as $user) {
    foreach (answer(fetch_all([ask("login&as=$user", $user)])[0]) as $name => $path) {
        $pages["$name ($user)"] = [$path, $user];
    }
}
load('before');
load('before');
$away = $fallback === 'none' ? 'none' : 'fallback';
$faults = [
    'stalled' => [fn() => $redis->stall(), fn() => $redis->resume()],
    'killed' => [fn() => $redis->kill(), fn() => $redis->start()],
    'back empty' => [fn() => $redis->kill(), fn() => $redis->start_empty()],
    'back with an old snapshot' => [fn() => $redis->kill(), fn() => $redis->start_old()],
];
foreach ($faults as $name => [$break, $mend]) {
    $before = $failures;
    change('before');
    compare('before');
    $redis->save();
    change('after the snapshot');
    compare('after the snapshot');
    $warm = load('before');
    $break();
    $longest = load('as the server went');
    change('while the server is away');
    await($away, 'while the server is away');
    $longest = max($longest, load('while the server is away'));
    change('while the server is away');
    compare('while the server is away');
    $mend();
    await('primary', 'after the server came back');
    $longest = max($longest, load('after the server came back'));
    compare('after the server came back');
    change('afterwards');
    compare('afterwards');
    printf("  %-28s %s; longest page %.0f ms, %.0f ms before\n", $name, $failures === $before ? 'ok' : 'FAILED', $longest, $warm);
}
answer(fetch_all([ask('unset')])[0]);

// One line a transition, not one a request; nothing else.
$lines = @file("$work/php.log", FILE_IGNORE_NEW_LINES) ?: [];
$events = preg_grep('~cachestore_larder: store "test_site": ~', $lines);
foreach (array_diff($lines, $events) as $line) {
    wrong('PHP logs: ' . substr($line, 0, 300));
}
$most = $fallback === 'none' ? 0 : 4 * count($faults);
if (count($events) > $most || ($most > 0 && count($events) < 2 * count($faults))) {
    wrong(count($events) . ' lines about ' . 2 * count($faults) . ' changes');
}
foreach ($events as $line) {
    echo '  ', preg_replace('~^.*cachestore_larder: ~', '', $line), "\n";
}
exit($failures ? 1 : 0);
