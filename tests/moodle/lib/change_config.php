<?php
// Prints a site's config.php with some code added before Moodle is loaded: php change_config.php CONFIG_PHP CODE.

[, $config, $code] = $argv;
$printed = false;
foreach (file($config) as $line) {
    if (!$printed && preg_match('#^\s*require(_once)?\b.*lib/setup\.php#', $line)) {
        echo rtrim($code), "\n";
        $printed = true;
    }
    echo $line;
}
if (!$printed) {
    fwrite(STDERR, "$config does not load lib/setup.php.\n");
    exit(1);
}
