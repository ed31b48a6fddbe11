--TEST--
exit, fatal errors and memory_limit in the middle of get, getMany, set and setMany: the request ends as ever, the cache stays in order
--SKIPIF--
<?php
if (!function_exists('pcntl_fork')) die('skip needs pcntl');
if (getenv('USE_ZEND_ALLOC') === '0') die("skip needs PHP's own allocator");
?>
--INI--
memory_limit=64M
display_errors=0
--FILE--
<?php
require __DIR__ . '/store.inc';
class Ending {
    public function __construct(private bool $at_once = false) {
    }
    public function __serialize(): array {
        $this->at_once && finish();
        return [];
    }
    public function __unserialize(array $data): void {
        finish();
    }
}
function finish(): void {
    echo 'finishing, ';
    match ($GLOBALS['how']) {
        'exit' => exit,
        'error' => trigger_error('the end', E_USER_ERROR),
        'compile' => eval('class Ending {}'),
        'memory' => str_repeat('x', 1 << 40),
        'uncaught' => null,
    };
}
$rows = array_map(fn($i) => ['id' => $i, 'in' => (object)['text' => "text $i"]], range(1, 3000));
$many = array_map(fn($i) => "key $i of many keys", range(1, 20000));
$calls = [
    'get' => fn($cache) => $cache->get('ending'),
    'getMany' => fn($cache) => $cache->getMany(['plain', 'rows', 'ending', 'rows']),
    'set' => fn($cache) => $cache->set('half', [1, new Ending(true)]),
    'setMany' => fn($cache) => $cache->setMany(['half' => 1, 'half2' => new Ending(true), 'half3' => 2]),
];
$exhausting = [
    'get of objects' => function ($cache) { for ($all = [];;) $all[] = $cache->get('rows'); },
    'getMany of objects' => function ($cache) { for ($all = [];;) $all[] = $cache->getMany(['rows', 'plain', 'rows']); },
    'getMany of many' => function ($cache) use ($many) { for ($all = [];;) $all[] = $cache->getMany($many); },
    'keys' => function ($cache) { for ($all = [];;) $all[] = $cache->keys(); },
    'get of objects, not near' => function ($cache) { for ($all = [];;) $all[] = $cache->get('huge'); },
    'set of what is refused' => function ($cache) { for ($all = [];;) { $cache->set('x', 1); $all[] = $cache->get('rows'); } },
];
foreach (['exit', 'error', 'compile', 'memory', 'limit'] as $how) {
    foreach ($how === 'limit' ? $exhausting : $calls as $what => $call) {
        echo "$how in $what: ";
        $pid = pcntl_fork();
        if ($pid === 0) {
            $cache = local_store(['near_bytes' => '2M'])->cache('c');
            $cache->setMany(['rows' => $rows, 'ending' => [1, new Ending, 2], 'plain' => [1, 2, 3], 'huge' => array_merge($rows, $rows, $rows, $rows, $rows)]);
            $cache->setMany(array_fill_keys($many, 1));
            register_shutdown_function(function () use ($cache, $rows) {
                ini_set('memory_limit', '512M');
                same('plain', [1, 2, 3], $cache->get('plain'));
                same('rows', serialize($rows), serialize($cache->get('rows')));
                same('many', ['plain', 'rows'], array_keys($cache->getMany(['plain', 'none', 'rows'])));
                same('set', [true, 1, 1], [$cache->set('after', 1), $cache->get('after'), $cache->setMany(['x' => 1])]);
                same('nothing half', [null, null], [$cache->get('half'), $cache->get('half2')]);
                $error = strtok(error_get_last()['message'] ?? '', '(');
                // Versions of PHP say it in different words.
                $error = preg_replace('/Cannot (re)?declare class Ending.*/', 'Ending is there', $error);
                echo 'in order', $error ? " after: $error" : '', "\n";
            });
            $call($cache);
            exit("went on\n");
        }
        pcntl_waitpid($pid, $status);
        same('ended', true, pcntl_wifexited($status));
    }
}
?>
--EXPECT--
exit in get: finishing, in order
exit in getMany: finishing, in order
exit in set: finishing, in order
exit in setMany: finishing, in order
error in get: finishing, in order after: the end
error in getMany: finishing, in order after: the end
error in set: finishing, in order after: the end
error in setMany: finishing, in order after: the end
compile in get: finishing, in order after: Ending is there
compile in getMany: finishing, in order after: Ending is there
compile in set: finishing, in order after: Ending is there
compile in setMany: finishing, in order after: Ending is there
memory in get: finishing, in order after: Allowed memory size of 67108864 bytes exhausted 
memory in getMany: finishing, in order after: Allowed memory size of 67108864 bytes exhausted 
memory in set: finishing, in order after: Allowed memory size of 67108864 bytes exhausted 
memory in setMany: finishing, in order after: Allowed memory size of 67108864 bytes exhausted 
limit in get of objects: in order after: Allowed memory size of 67108864 bytes exhausted 
limit in getMany of objects: in order after: Allowed memory size of 67108864 bytes exhausted 
limit in getMany of many: in order after: Allowed memory size of 67108864 bytes exhausted 
limit in keys: in order after: Allowed memory size of 67108864 bytes exhausted 
limit in get of objects, not near: in order after: Allowed memory size of 67108864 bytes exhausted 
limit in set of what is refused: in order after: Allowed memory size of 67108864 bytes exhausted
