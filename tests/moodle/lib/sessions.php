<?php
// Sessions of the site under test: php sessions.php BASE_URL TOKEN WORK REDIS_PORT SECONDS.

require(__DIR__ . '/client.php');
require(__DIR__ . '/redis.php');

[, $base, $token, $work, $redisport, $seconds] = $argv;
$server = new redis_under_test($work, (int)$redisport);
$redis = new Redis();
$redis->connect('127.0.0.1', (int)$redisport);
$failures = 0;

/**
 * Notes what should hold.
 *
 * @param bool $holds
 * @param string $what
 */
function check(bool $holds, string $what): void {
    global $failures;
    $failures += $holds ? 0 : 1;
    echo $holds ? 'ok    ' : 'FAILED', " $what\n";
}

/**
 * Requests of one user that each add a number to a list in the session, at the same time.
 *
 * @param int[] $values
 * @param int $hold milliseconds
 * @return array[] answers
 */
function add(array $values, int $hold = 0): array {
    return array_map('answer', fetch_all(array_map(fn($value) => ask("add&value=$value&hold=$hold", 'user'), $values)));
}

/**
 * The list, and whose session it is, as a request sees them that does not lock the session.
 *
 * @return array
 */
function look(): array {
    return answer(fetch_all([ask('look', 'user')])[0]);
}

/**
 * Commands that the server has executed.
 *
 * @return int
 */
function commands(): int {
    global $redis;
    return (int)$redis->info('stats')['total_commands_processed'];
}

/**
 * Waits until somebody holds the lock of the session.
 */
function wait_for_lock(): void {
    global $redis;
    for ($tries = 0; $tries < 500 && $redis->hLen('{site-sessions:0}k') < 2; $tries++) {
        usleep(10000);
    }
}

answer(fetch_all([ask('login&as=student', 'user')])[0]);
$user = look()['user'];
check($user > 0, 'logged in');

// Each request sees what all before it wrote, and nothing that one of them wrote gets lost.
$answers = add(range(1, 50), 5);
$list = look()['list'];
$sorted = $list;
sort($sorted);
check($sorted === range(1, 50), '50 requests of one user at the same time: no write is lost');
$prefixes = array_filter($answers, fn($answer) => array_slice($list, 0, count($answer['list'])) === $answer['list']);
check(count($prefixes) === 50, 'each sees all writes before its own, in their order');
check(count(array_unique(array_column($answers, 'worker'))) > 1, 'they were in ' .
    count(array_unique(array_column($answers, 'worker'))) . ' workers');
usort($answers, fn($a, $b) => count($a['list']) <=> count($b['list']));
$overtaken = 0;
for ($i = 1; $i < count($answers); $i++) {
    $overtaken += $answers[$i]['asked'] < $answers[$i - 1]['asked'] ? 1 : 0;
}
echo "       $overtaken of 50 got the session before one that began earlier\n";

// A longer wait costs no more commands.
add(range(51, 54));
$counts = [];
foreach ([20, 200] as $hold) {
    $before = commands();
    add(range(1000 + $hold, 1011 + $hold), $hold);
    $counts[] = commands() - $before;
}
check($counts[1] <= $counts[0] * 1.15, "nobody polls: 12 requests that lock the session for 20 ms make $counts[0] commands, for 200 ms $counts[1]");

// One may wait, the others get Moodle's error.
$multi = curl_multi_init();
$holder = request_of(ask('add&value=2000&hold=2500', 'user')[0], 'user');
curl_multi_add_handle($multi, $holder);
curl_multi_exec($multi, $running);
for ($tries = 0; $tries < 20; $tries++) {
    curl_multi_exec($multi, $running);
    usleep(10000);
}
wait_for_lock();
$answers = fetch_all(array_map(fn($value) => ask("add&value=$value", 'user'), [2001, 2002, 2003]), ['X-Waiters: 1']);
do {
    curl_multi_exec($multi, $running);
    curl_multi_select($multi, 0.1);
} while ($running);
$refused = array_filter($answers, fn($answer) => str_contains($answer[1], 'Timed out while waiting for session lock'));
check(count($refused) === 2, 'with one place for those who wait, two of three get the error: ' . count($refused));
check(curl_getinfo($holder, CURLINFO_RESPONSE_CODE) === 200, 'who held the session got it');
check(count(add([2004])[0]['list']) === count(look()['list']), 'and the places are free again');

// Whoever lost the lock does not overwrite what the next one wrote.
$holder = request_of(ask('add&value=3000&hold=1500', 'user')[0], 'user');
curl_multi_add_handle($multi, $holder);
for ($tries = 0; $tries < 20; $tries++) {
    curl_multi_exec($multi, $running);
    usleep(10000);
}
wait_for_lock();
$redis->del('{site-sessions:0}k');
add([3001]);
do {
    curl_multi_exec($multi, $running);
    curl_multi_select($multi, 0.1);
} while ($running);
$list = look()['list'];
check(in_array(3001, $list) && !in_array(3000, $list), 'a request that lost its lock overwrites nothing');
$log = is_file("$work/php.log") ? file_get_contents("$work/php.log") : '';
check(str_contains($log, 'its lock was lost'), 'and the error log says so');

// Nothing that empties caches logs anybody out, nor does a restart.
answer(fetch_all([ask('purgeall')])[0]);
check(look() === ['list' => $list, 'user' => $user], 'all caches purged: still logged in');
$server->kill();
$server->start();
$redis->connect('127.0.0.1', (int)$redisport);
usleep(200000);
check(look() === ['list' => $list, 'user' => $user], 'the server restarted from its snapshot: still logged in');
check(end(add([4000])[0]['list']) === 4000, 'and the session can be written');
$server->stall();
[$stalled] = fetch_all([ask('add&value=4001', 'user')]);
$server->resume();
check(!str_contains($stalled[1], '"list"') && $stalled[2] < 20000, sprintf('the server hangs: an error after %.1f s', $stalled[2] / 1000));
usleep(1200000);
check(look()['user'] === $user, 'and then: still logged in');

// With a fallback users can log in while the server is away; who was logged in before is so again when it is back.
$fallback = ['X-Fallback: 1'];
answer(fetch_all([ask('login&as=student', 'before')], $fallback)[0]);
answer(fetch_all([ask('add&value=1', 'before')], $fallback)[0]);
$server->kill();
/**
 * Asks until something holds, for 30 seconds at the most.
 *
 * @param callable $holds
 * @return bool
 */
function within(callable $holds): bool {
    for ($end = microtime(true) + 30; microtime(true) < $end; usleep(200000)) {
        if ($holds()) {
            return true;
        }
    }
    return false;
}
check(within(fn() => fetch_all([ask('login&as=student', 'meanwhile')], $fallback)[0][0] === 200), 'the server is away: the fallback takes logins');
check(answer(fetch_all([ask('add&value=2', 'meanwhile')], $fallback)[0])['list'] === [2], 'and keeps sessions');
$server->start();
$redis->connect('127.0.0.1', (int)$redisport);
// Who asks before the server serves again gets a new session, and with it a new cookie.
$list = fn(string $user) => json_decode(fetch_all([ask('look', $user)], $fallback)[0][1], true)['list'] ?? null;
check(within(fn() => $list('meanwhile') === []), 'the server is back: sessions of the fallback are gone');
check($list('before') === [1], 'and the session from before is there');

// Pages a second: four clients, each a user with a session of its own, click on.
if ($seconds > 0) {
    $rates = [];
    foreach ([0, 1, 1, 0, 0, 1, 1, 0] as $turn => $beside) {
        $headers = $beside ? ['X-Beside: 1'] : [];
        $pages = [];
        for ($client = 0; $client < 4; $client++) {
            [$login] = fetch_all([ask('login&as=' . ($client % 2 ? 'student' : 'admin'), "client$beside$client")], $headers);
            $pages[] = [answer($login)['course'], "client$beside$client"];
        }
        fetch_all($pages, $headers);
        $count = 0;
        $began = microtime(true);
        while (microtime(true) < $began + $seconds) {
            foreach (fetch_all($pages, $headers) as $response) {
                if ($problem = problem($response)) {
                    check(false, ($beside ? 'core redis: ' : 'Larder: ') . $problem);
                    break 2;
                }
                $count++;
            }
        }
        $rates[$beside][] = $count / (microtime(true) - $began);
    }
    $larder = array_sum($rates[0]);
    $core = array_sum($rates[1]);
    printf("pages a second, course page, 4 clients: Larder %.1f, core redis %.1f, ratio %.2f\n", $larder / 4, $core / 4, $larder / $core);
    // Four requests of one user at the same time: who waits is woken.
    $times = [];
    foreach ([0, 1, 1, 0] as $beside) {
        $headers = $beside ? ['X-Beside: 1'] : [];
        fetch_all([ask('login&as=student', "client$beside")], $headers);
        $began = microtime(true);
        for ($round = 0; $round < 8; $round++) {
            fetch_all(array_fill(0, 4, ask('add&value=1&hold=10', "client$beside")), $headers);
        }
        $times[$beside] = ($times[$beside] ?? 0) + microtime(true) - $began;
    }
    printf("32 requests of one user, 4 at a time, 10 ms with the session locked: Larder takes %.2f of the time of core redis\n", $times[0] / $times[1]);
}
exit($failures ? 1 : 0);
