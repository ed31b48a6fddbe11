<?php
/**
 * Locks of the extension, in real processes.
 *
 *     php -d extension=…/liblarder_php.so tests/php/locks/run.php [SERVER]
 *
 * Without SERVER a temporary local: directory. Prints what failed and ends with status 1, or one line.
 *
 * @license MIT OR Apache-2.0
 */

$directory = sys_get_temp_dir() . '/larder-locks-' . getmypid();
$server = $argv[1] ?? "local:{$directory}?size=16M";
$config = ['server' => $server, 'namespace' => 'phplocks', 'lock_lease' => 1, 'read_timeout' => 2];

/** Runs code in another PHP process; answers what it printed, and what it wrote to the log. */
function elsewhere(string $code, bool $wait = true) {
    global $config;
    $log = tempnam(sys_get_temp_dir(), 'larder');
    $prelude = '$cache = Larder\Store::open(' . var_export($config, true) . ')->cache("c");';
    $extension = getenv('LARDER_SO') ?: ini_get('extension');
    $command = [PHP_BINARY, '-d', "error_log={$log}", '-d', 'log_errors=1', '-d', 'display_errors=0'];
    foreach (['LARDER_SO' => getenv('LARDER_SO')] as $so) {
        if ($so) {
            array_push($command, '-d', "extension={$so}");
        }
    }
    $process = proc_open([...$command, '-r', $prelude . $code], [1 => ['pipe', 'w'], 2 => ['pipe', 'w']], $pipes);
    if (!$wait) {
        fgets($pipes[1]);
        return [$process, $pipes, proc_get_status($process)['pid']];
    }
    $output = stream_get_contents($pipes[1]);
    proc_close($process);
    $logged = file_get_contents($log);
    unlink($log);
    return [$output, $logged];
}

$failed = 0;
function check(bool $holds, string $what): void {
    global $failed;
    if (!$holds) {
        echo "FAILED: {$what}\n";
        $failed++;
    }
}

$cache = Larder\Store::open($config)->cache('c');
check($cache->acquireLock('first', 'me', 0) && $cache->releaseLock('first', 'me'), 'the first lock is to be had at once');

// The basics.
check($cache->lockState('k', 'me') === null, 'free');
check($cache->acquireLock('k', 'me', 0), 'acquire');
check($cache->lockState('k', 'me') === true, 'mine');
check($cache->lockState('k', 'you') === false, 'not yours');
check(!$cache->acquireLock('k', 'me', 0.05), 'the same owner waits like another');
check(!$cache->releaseLock('k', 'you'), 'release by another owner');
check(elsewhere('var_dump($cache->acquireLock("k", "me", 0), $cache->lockState("k", "me"), $cache->releaseLock("k", "me"));')[0]
    === "bool(false)\nbool(false)\nbool(false)\n", 'another process with the same owner');
check($cache->set('k', 1), 'a set under the lock');
check($cache->releaseLock('k', 'me'), 'release');
check(!$cache->releaseLock('k', 'me'), 'release twice');
check($cache->acquireLock("\0\xff\n", "\0", 0) && $cache->releaseLock("\0\xff\n", "\0"), 'any bytes');

// Named locks, of the store itself.
$store = Larder\Store::open($config);
check($store->acquireLock('k', 'me', 5), 'the first named lock, after a grace at the most');
check($cache->lockState('k', 'me') === null, 'no lock of a cache');
check(elsewhere('var_dump(Larder\Store::open(' . var_export($config, true) . ')->acquireLock("k", "me", 0));')[0] === "bool(false)\n",
    'a named lock of another process');
check($store->releaseLock('k', 'me') && $store->lockState('k', 'me') === null, 'a named lock given back');

// A lost lock: stopped beyond the lease.
[$process, $pipes, $pid] = elsewhere('$cache->acquireLock("lost", "a", 0); echo "go\n"; flush(); fgets(STDIN) ?: 0;'
    . 'while (!file_exists("' . $directory . '.go")) usleep(1000);'
    . 'var_dump($cache->set("lost", "old"), $cache->setMany(["lost" => "old"]), $cache->lockState("lost", "a"));', false);
posix_kill($pid, SIGSTOP);
check($cache->acquireLock('lost', 'b', 5), 'the lock of a stopped process');
check($cache->set('lost', 'new'), 'a set under the lock got so');
touch("{$directory}.go");
posix_kill($pid, SIGCONT);
check(stream_get_contents($pipes[1]) === "bool(false)\nint(0)\nbool(false)\n", 'a write under a lost lock is refused');
proc_close($process);
unlink("{$directory}.go");
check($cache->get('lost') === 'new', 'and changes nothing');
$cache->releaseLock('lost', 'b');

// However a request ends.
foreach ([
    'end' => '',
    'exit' => 'exit(3);',
    'exception' => 'throw new Exception("x");',
    'fatal error' => 'undefined_function();',
    'memory limit' => 'ini_set("memory_limit", "8M"); str_repeat("x", 1 << 26);',
    'time limit' => 'set_time_limit(1); while (true);',
] as $how => $code) {
    [, $log] = elsewhere('$cache->acquireLock("forgotten", "owner-7", 0);' . $code);
    check(substr_count($log, 'lock on key "forgotten"') === 1 && str_contains($log, 'owner-7'), "{$how}: reported once: {$log}");
    check($cache->acquireLock('forgotten', 'me', 0) && $cache->releaseLock('forgotten', 'me'), "{$how}: released");
}
[, $log] = elsewhere('$cache->acquireLock("k", "o", 0); $cache->releaseLock("k", "o");');
check($log === '', 'nothing to report');

if (function_exists('pcntl_fork')) {
    // A forked child owns nothing.
    $cache->acquireLock('parent', 'me', 0);
    $child = pcntl_fork();
    if ($child === 0) {
        $code = ($cache->releaseLock('parent', 'me') ? 1 : 0) + ($cache->lockState('parent', 'me') === false ? 0 : 2);
        exit($code);
    }
    pcntl_waitpid($child, $status);
    check(pcntl_wexitstatus($status) === 0, 'a forked child owns nothing: ' . pcntl_wexitstatus($status));
    check($cache->lockState('parent', 'me') === true, 'and its end takes nothing');

    // Signals are served while somebody waits.
    pcntl_async_signals(true);
    $served = 0;
    pcntl_signal(SIGALRM, function () use (&$served) {
        $served = microtime(true);
    });
    $from = microtime(true);
    pcntl_alarm(1);
    check(!$cache->acquireLock('parent', 'you', 3.5), 'waiting in vain');
    check($served > 0 && $served - $from < 2.6, 'a signal handler runs meanwhile');
    pcntl_signal(SIGALRM, function () {
        throw new RuntimeException('enough');
    });
    pcntl_alarm(1);
    try {
        $cache->acquireLock('parent', 'you', 10);
        check(false, 'an exception ends the wait');
    } catch (RuntimeException $e) {
        check($e->getMessage() === 'enough', 'the handler\'s exception');
    }
    check($cache->releaseLock('parent', 'me'), 'release after all that');
    check($cache->acquireLock('parent', 'next', 0) && $cache->releaseLock('parent', 'next'), 'who gave up is not in line');
}

// A process that is killed.
[$process, $pipes, $pid] = elsewhere('$cache->acquireLock("killed", "a", 0); echo "go\n"; flush(); sleep(60);', false);
posix_kill($pid, SIGKILL);
check($cache->acquireLock('killed', 'b', 2.5), 'the lock of a killed process');
proc_close($process);
$cache->releaseLock('killed', 'b');

echo $failed ? "{$failed} failed\n" : "locks: all as promised\n";
exit($failed ? 1 : 0);
