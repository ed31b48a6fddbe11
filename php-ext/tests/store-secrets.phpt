--TEST--
No backtrace, no message and no dump shows what Store::open() was given
--SKIPIF--
<?php if (PHP_VERSION_ID < 80200) die('skip PHP 8.2 knows sensitive parameters'); ?>
--INI--
zend.exception_ignore_args=0
zend.exception_string_param_max_len=1000
display_errors=1
html_errors=0
--FILE--
<?php
require __DIR__ . '/store.inc';
const SECRETS = ['hunter2222', 'sesame', 'open-or-else-open'];
/** Whether anything in a text is one of the secrets. */
function tells(string $text): bool {
    return str_replace(SECRETS, '', $text) !== $text;
}
$configs = [
    'unknown option' => ['server' => 'redis://u:sesame@127.0.0.1:1', 'password' => 'hunter2222', 'no_option' => 1],
    'bad value' => ['server' => 'redis://127.0.0.1:1', 'password' => 'hunter2222', 'near_bytes' => 'many'],
    'bad server' => ['server' => 'ftp://u:sesame@x', 'password' => 'hunter2222'],
    'short key' => ['server' => 'redis://127.0.0.1:1', 'seal_key' => 'sesame'],
    'bad type' => ['server' => 'redis://127.0.0.1:1', 'password' => ['hunter2222']],
];
foreach ($configs as $what => $config) {
    try {
        Larder\Store::open($config);
        echo "$what: not refused\n";
    } catch (Larder\Exception $e) {
        $frame = $e->getTrace()[0];
        same("$what: argument", 'SensitiveParameterValue', get_debug_type($frame['args'][0]));
        ob_start();
        var_dump($e->getTrace());
        print_r($e);
        same($what, false, tells(ob_get_clean() . $e . $e->getMessage() . json_encode($e->getTrace()) . var_export($e->getTrace(), true)));
    }
}
foreach ([fn($c) => Larder\Store::open(...)($c), fn($c) => call_user_func([Larder\Store::class, 'open'], $c), fn($c) => Larder\Store::open(config: $c)] as $at => $open) {
    try {
        $open($configs['bad value']);
    } catch (Larder\Exception $e) {
        same("way $at", false, tells(print_r($e->getTrace()[0], true)));
    }
}
same('attribute', ['SensitiveParameter'], array_map(fn($a) => $a->getName(), (new ReflectionMethod('Larder\Store', 'open'))->getParameters()[0]->getAttributes()));
$stores = [Larder\Store::open(['server' => 'redis://u:sesame@127.0.0.1:1', 'seal_key' => 'open-or-else-open'])];
same('store', false, tells(print_r($stores, true) . json_encode([$stores[0]->stats(), $stores[0]->health()])));
ob_start(fn($text) => tells($text) ? 'the output of the uncaught exception tells a secret' : preg_replace('/ in \/.*/', '', strtok($text, "\n")) . "\n" . (str_contains($text, 'SensitiveParameterValue') ? 'hidden' : 'not hidden'));
Larder\Store::open($configs['bad value']);
?>
--EXPECTF--
%AUncaught Larder\ConfigException: option 'near_bytes'%A
hidden
