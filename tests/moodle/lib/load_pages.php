<?php
// Loads pages as an administrator and as a student, checks and times them, then changes a setting in one worker and
// reads it in all: php load_pages.php BASE_URL TOKEN ROUNDS CALLS_FILE [BESIDE]. With BESIDE every page is loaded from
// the other store, too, in turn, and timed beside it.

[, $base, $token, $rounds, $callsfile] = $argv;
$beside = ($argv[5] ?? '') !== '';
$work = dirname($callsfile);
$slow = file_exists("$work/ask") ? [fopen("$work/told", 'r'), fopen("$work/ask", 'w')] : null;
$failures = 0;
require(__DIR__ . '/client.php');

$wanted = preg_split('/\s+/', (string)getenv('PAGES'), -1, PREG_SPLIT_NO_EMPTY);
$pages = [];
foreach (['admin', 'student'] as $user) {
    foreach (answer(fetch_all([ask("login&as=$user", $user)])[0]) as $name => $path) {
        if (!$wanted || in_array($name, $wanted, true)) {
            $pages["$name ($user)"] = [$path, $user];
        }
    }
}

/**
 * Requests to the slow filesystem so far, zero without one.
 *
 * @return int
 */
function requests(): int {
    global $slow;
    if (!$slow) {
        return 0;
    }
    fwrite($slow[1], "\n");
    return (int)fgets($slow[0]);
}

// Two rounds warm the caches; then every page is timed alone.
$times = [];
$requests = [];
for ($round = -2; $round < $rounds; $round++) {
    if ($round === 0) {
        @unlink($callsfile);
        @unlink("$callsfile.trips");
    }
    foreach ($pages as $name => $page) {
        $stores = $beside ? [[], ['X-Beside: 1']] : [[]];
        // Neither store always comes first.
        foreach ($round % 2 ? array_reverse($stores, true) : $stores as $other => $headers) {
            if (getenv('PURGED') && $round >= 0) {
                fetch_all([ask('purgeall')], $headers);
            }
            $before = requests();
            [$response] = fetch_all([$page], $headers);
            if ($problem = problem($response)) {
                $failures++;
                echo "$name, $page[0]: $problem\n";
            } else if ($round >= 0) {
                $times[$other][$name][] = $response[2];
                $requests[$other][$name][] = requests() - $before;
            }
        }
    }
}

$calls = [];
foreach (is_file($callsfile) ? file($callsfile) : [] as $line) {
    $calls[] = array_sum(json_decode($line, true));
}
foreach ($times[0] ?? [] as $name => $list) {
    printf("%-28s %8.1f ms (median of %d)", $name, median($list), count($list));
    if ($beside) {
        $other = median($times[1][$name]);
        printf(", beside it %8.1f ms, ratio %5.2f", $other, median($list) / $other);
    }
    if ($slow) {
        $list = $requests[0][$name];
        printf(", %d requests to the filesystem, at most %d", median($list), max($list));
    }
    echo "\n";
}
printf("%-28s %8.1f (%d in %d requests)\n", 'store calls a request', $calls ? array_sum($calls) / count($calls) : 0,
    array_sum($calls), count($calls));
if ($trips = is_file("$callsfile.trips") ? array_map('intval', file("$callsfile.trips")) : []) {
    printf("%-28s %8.1f (at most %d)\n", 'round trips a request', array_sum($trips) / count($trips), max($trips));
}
if (!$calls) {
    $failures++;
    echo "the store was never called\n";
}

// All pages at the same time, while the course's cache is empty: four workers share the store and want its locks.
for ($round = 0; $round < 5; $round++) {
    answer(fetch_all([ask('purge')])[0]);
    foreach (fetch_all($pages) as $name => $response) {
        if ($problem = problem($response)) {
            $failures++;
            echo "$name, loaded together with others: $problem\n";
        }
    }
}

// A change that one worker has made is seen by all at their next request.
$stale = 0;
$workers = [];
for ($value = 1; $value <= 20; $value++) {
    answer(fetch_all([ask("set&value=$value")])[0]);
    foreach (fetch_all(array_fill(0, 12, ask('get'))) as $response) {
        $answer = answer($response);
        $workers[$answer['worker']] = true;
        $stale += (string)$answer['value'] !== (string)$value ? 1 : 0;
    }
}
answer(fetch_all([ask('unset')])[0]);
printf("%-28s %8d of 240 reads in %d workers after 20 changes\n", 'stale', $stale, count($workers));
exit($failures || $stale || count($workers) < 2 ? 1 : 0);
