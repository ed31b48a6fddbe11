<?php
// Loads pages as an administrator and as a student, checks and times them, then changes a setting in one worker and
// reads it in all: php load_pages.php BASE_URL TOKEN ROUNDS CALLS_FILE.

[, $base, $token, $rounds, $callsfile] = $argv;
$failures = 0;

/**
 * Fetches URLs, all at the same time; each with the cookies of its user.
 *
 * @param array $requests of [path, user]
 * @return array of [status, body, milliseconds]
 */
function fetch_all(array $requests): array {
    global $base;
    static $cookies = [];
    $multi = curl_multi_init();
    $handles = [];
    foreach ($requests as $key => [$path, $user]) {
        $cookies[$user] ??= '';
        $handles[$key] = curl_init($base . $path);
        curl_setopt_array($handles[$key], [CURLOPT_RETURNTRANSFER => true, CURLOPT_TIMEOUT => 300,
            CURLOPT_COOKIE => $cookies[$user], CURLOPT_PROXY => '',
            CURLOPT_HEADERFUNCTION => function ($handle, string $line) use (&$cookies, $user): int {
                if (preg_match('/^Set-Cookie: (MoodleSession\w*=[^;]+)/i', $line, $match)) {
                    $cookies[$user] = $match[1];
                }
                return strlen($line);
            }]);
        curl_multi_add_handle($multi, $handles[$key]);
    }
    do {
        curl_multi_exec($multi, $running);
        curl_multi_select($multi, 0.1);
    } while ($running);
    return array_map(fn($handle) => [curl_getinfo($handle, CURLINFO_RESPONSE_CODE), curl_multi_getcontent($handle),
        curl_getinfo($handle, CURLINFO_TOTAL_TIME) * 1000], $handles);
}

/**
 * Asks the page that belongs to this test.
 *
 * @param string $query
 * @param string $user
 * @return string the path to ask for and its user, for fetch_all()
 */
function ask(string $query, string $user = ''): array {
    global $token;
    return ["/larder_test.php?token=$token&do=$query", $user];
}

/**
 * The answer of the page that belongs to this test.
 *
 * @param array $response
 * @return array
 */
function answer(array $response): array {
    [$status, $body] = $response;
    $answer = json_decode($body, true);
    if ($status !== 200 || !is_array($answer)) {
        fwrite(STDERR, "HTTP $status: " . substr(strip_tags($body), 0, 2000) . "\n");
        exit(1);
    }
    return $answer;
}

/**
 * Why a page is not what it should be, or an empty string.
 *
 * @param array $response
 * @return string
 */
function problem(array $response): string {
    [$status, $body] = $response;
    if ($status !== 200) {
        $text = strip_tags(preg_replace('#<(style|script|head)\b.*?</\1>#s', '', $body));
        return "HTTP $status: " . substr(trim(preg_replace('/\s+/', ' ', $text)), 0, 400);
    }
    if (!str_contains($body, '</html>')) {
        return 'broken off';
    }
    $signs = '#class="[^"]*\b(errorbox|debuggingmessage|notifyproblem)\b|<b>(Warning|Notice|Deprecated|Fatal error)</b>:|Exception - #';
    return preg_match($signs, $body, $match) ? "shows $match[0]" : '';
}

$pages = [];
foreach (['admin', 'student'] as $user) {
    foreach (answer(fetch_all([ask("login&as=$user", $user)])[0]) as $name => $path) {
        $pages["$name ($user)"] = [$path, $user];
    }
}

// Two rounds warm the caches; then every page is timed alone.
$times = [];
for ($round = -2; $round < $rounds; $round++) {
    if ($round === 0) {
        @unlink($callsfile);
    }
    foreach ($pages as $name => $page) {
        [$response] = fetch_all([$page]);
        if ($problem = problem($response)) {
            $failures++;
            echo "$name, $page[0]: $problem\n";
        } else if ($round >= 0) {
            $times[$name][] = $response[2];
        }
    }
}

$calls = [];
foreach (is_file($callsfile) ? file($callsfile) : [] as $line) {
    $calls[] = array_sum(json_decode($line, true));
}
foreach ($times as $name => $list) {
    sort($list);
    printf("%-28s %8.1f ms (median of %d)\n", $name, $list[intdiv(count($list), 2)], count($list));
}
printf("%-28s %8.1f (%d in %d requests)\n", 'store calls a request', $calls ? array_sum($calls) / count($calls) : 0,
    array_sum($calls), count($calls));
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
