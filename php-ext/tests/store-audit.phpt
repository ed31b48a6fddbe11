--TEST--
The audit log takes texts in any encoding, and nothing but texts
--FILE--
<?php
require __DIR__ . '/store.inc';
$store = local_store();
show([
    'bytes' => fn() => $store->audit('purge', ["\xffname" => "\xfe", 7 => 'seven', "a\0b" => "\0"]),
    'none' => fn() => $store->audit('purge'),
    'number' => fn() => $store->audit('purge', ['user' => 7]),
    'array' => fn() => $store->audit('purge', ['caches' => ['c']]),
    'records' => function () use ($store) {
        $details = array_column($store->auditLog(), 'details');
        same('node', [gethostname()], array_unique(array_column($details, 'node')));
        $details = array_map(fn($texts) => array_diff_key($texts, ['node' => '']), $details);
        usort($details, fn($one, $other) => count($one) <=> count($other));
        return $details;
    },
]);
?>
--EXPECT--
bytes: true
none: true
number: Larder\ValueException: a detail of a record must be a string
array: Larder\ValueException: a detail of a record must be a string
records: [[],{"7":"seven","a\u0000b":"\u0000","\ufffdname":"\ufffd"}]
