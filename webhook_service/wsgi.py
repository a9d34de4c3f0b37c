"""What gunicorn serves: `gunicorn webhook_service.wsgi:app`."""

from webhook_service.app import create_app

app = create_app()
