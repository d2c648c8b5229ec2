from hannun.cli import main

main()
