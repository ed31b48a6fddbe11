<?php
// Pages of the site under test that are completed in each second around a fault, while six clients click on:
// php under_load.php BASE_URL TOKEN WORK REDIS_PORT FAULT LABEL FALLBACK. FAULT is a key of $faults below, FALLBACK that of
// the store, "none", or "redis" for core's store, of which nothing is expected.

require(__DIR__ . '/client.php');
require(__DIR__ . '/redis.php');

[, $base, $token, $work, $redisport, $fault, $label, $fallback] = $argv;
const CLIENTS = 6;
const BEFORE = 8;
const AFTER = 12;
// How long the server is away, and whether it comes back with a snapshot; null = it stays, and all caches are purged.
$faults = ['empty' => [0.3, false], 'old' => [0.3, true], 'away' => [8, false], 'purge' => null];
[$away, $snapshot] = $faults[$fault] ?? [0, false];
$redis = new redis_under_test($work, (int)$redisport);
$length = BEFORE + (int)ceil($away) + AFTER;

// Each client is a user with a session of its own.
$pages = [];
for ($client = 0; $client < CLIENTS; $client++) {
    $as = $client % 3 ? 'student' : 'admin';
    $pages[$client] = array_values(answer(fetch_all([ask("login&as=$as", "client$client")])[0]));
}
for ($round = 0; $round < 4; $round++) {
    foreach (array_chunk($pages, 3, true) as $some) {
        $urls = [];
        foreach ($some as $client => $paths) {
            $urls[$client] = [$paths[$round % count($paths)], "client$client"];
        }
        fetch_all($urls);
    }
}
@unlink("$work/calls.times");

$began = hrtime(true);
$now = fn(): float => (hrtime(true) - $began) / 1e9;
// What happens when, beside the clicks.
$todo = [];
if (array_key_exists($fault, $faults) && $faults[$fault]) {
    $todo = [
        [1, fn() => $snapshot ? $redis->save() : $redis->forget()],
        [BEFORE, fn() => $redis->crash()],
        [BEFORE + $away, fn() => $redis->launch()],
    ];
}
$multi = curl_multi_init();
$clicks = array_fill(0, CLIENTS, 0);
$done = $problems = $running = [];
$purge = $fault === 'purge';
$begin = function (int $client, string $path) use ($multi, &$running): void {
    $handle = request_of($path, "client$client");
    $running[spl_object_id($handle)] = $client;
    curl_multi_add_handle($multi, $handle);
};
for ($client = 0; $client < CLIENTS; $client++) {
    $begin($client, $pages[$client][$client % count($pages[$client])]);
}
while ($running) {
    if ($todo && $now() >= $todo[0][0]) {
        array_shift($todo)[1]();
    }
    curl_multi_exec($multi, $active);
    while ($info = curl_multi_info_read($multi)) {
        $handle = $info['handle'];
        $client = $running[spl_object_id($handle)];
        unset($running[spl_object_id($handle)]);
        if ($client >= 0) {
            $response = [curl_getinfo($handle, CURLINFO_RESPONSE_CODE), curl_multi_getcontent($handle)];
            if ($problem = problem($response)) {
                $problems[] = sprintf('%.1f s, %s: %s', $now(), curl_getinfo($handle, CURLINFO_EFFECTIVE_URL), $problem);
            } else {
                $done[] = $now();
            }
            if ($now() < $length) {
                $paths = $pages[$client];
                $begin($client, $paths[(++$clicks[$client] + $client) % count($paths)]);
            }
        }
        curl_multi_remove_handle($multi, $handle);
    }
    if ($purge && $now() >= BEFORE) {
        $purge = false;
        $begin(-1, ask('purgeall')[0]);
    }
    curl_multi_select($multi, 0.02);
}

/**
 * Pages that were completed in each second.
 *
 * @param float $from
 * @param float $to
 * @return int[]
 */
function seconds(float $from, float $to): array {
    global $done;
    $seconds = array_fill(0, (int)($to - $from), 0);
    foreach ($done as $time) {
        $second = (int)floor($time - $from);
        if (isset($seconds[$second])) {
            $seconds[$second]++;
        }
    }
    return $seconds;
}

$usual = array_sum(seconds(1, BEFORE)) / (BEFORE - 1);
$slow = fn(float $from, float $to): int => count(array_filter(seconds($from, $to), fn($pages) => $pages < $usual / 2));
$has = !in_array($fallback, ['none', 'redis'], true);
$counts = match (true) {
    !$has => [$slow(BEFORE + $away, $length)],
    $away > 1 => [$slow(BEFORE, BEFORE + $away), $slow(BEFORE + $away, $length)],
    default => [$slow(BEFORE, $length)],
};
$times = array_map('floatval', @file("$work/calls.times") ?: [0]);
printf("  %-24s %s\n", $label, implode(' ', array_map(fn($pages) => sprintf('%2d', $pages), seconds(0, $length))));
printf("  %-24s usually %.1f a second, then %s slow seconds; longest store time of a request %.2f s; failed %d\n", '', $usual,
    implode(' and ', $counts), max($times) / 1000, count($problems));
foreach (array_slice($problems, 0, $fallback === 'redis' ? 0 : 5) as $problem) {
    echo "    $problem\n";
}
exit($problems && $fallback !== 'redis' ? 1 : 0);
